"use strict";
/* Sorts tables, shows the pictures a few at a time, opens them at full width. All text goes in as
   text. */
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const $ = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.filter((child) => child !== null));
    return node;
  };

  /* ---- tables: a click on a column's head sorts by it, another turns it round ---- */

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const key = (row, column) => {
      const value = row.cells[column].dataset.value;
      if (value === undefined) return null;
      return heads[column].dataset.kind === "text" ? value : Number(value);
    };
    const sort = (column) => {
      const head = heads[column];
      const before = head.getAttribute("aria-sort");
      const first = head.dataset.first || "ascending";
      const turned = first === "ascending" ? "descending" : "ascending";
      const now = before === first ? turned : first;
      const sign = now === "ascending" ? 1 : -1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", now);
      const compare = (a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if (x === null || y === null) return (x === null) - (y === null); // nothing comes last
        return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
      };
      body.append(...[...body.rows].sort(compare));
    };
    heads.forEach((head, column) => {
      if (!head.dataset.kind) return;
      const button = make("button", { type: "button", className: "sort" });
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(column));
      head.append(button);
    });
  }

  /* ---- distributions: one recipe or all ---- */

  const chosen = $("distribution");
  if (chosen) {
    chosen.closest("p").hidden = false;
    chosen.addEventListener("change", () => {
      for (const row of document.querySelectorAll(".distribution tbody tr")) {
        row.hidden = chosen.value !== "" && row.dataset.recipe !== chosen.value;
      }
    });
  }

  /* ---- gallery ---- */

  const { recipes, rank, up, images, failures, review } = read("data");
  /* The page holds each picture once, in the cards that are there without a script. */
  const pictures = [];
  for (const image of document.querySelectorAll("#cards img")) {
    pictures[image.dataset.picture] = image;
  }
  const places = new Map(images.map((image, place) => [image.name, place]));
  const PAGE = 48;
  const filters = $("filters");
  let found = [];
  let shown = 0;

  const value = (image, recipe) => (image.by[recipe] ? image.by[recipe].rank : null);
  const sure = (image, recipe) => (image.by[recipe] ? image.by[recipe].sure : null);
  const fixed = (number) => number.toFixed(3);
  const chosenRecipe = () => Number($("shown-recipe").value);
  const otherRecipe = () => ($("other").value === "" ? null : Number($("other").value));

  const difference = (image) => {
    const other = otherRecipe();
    const values = (other === null ? image.by.map((_, i) => i) : [chosenRecipe(), other])
      .map((recipe) => value(image, recipe))
      .filter((number) => number !== null);
    return values.length < 2 ? null : Math.max(...values) - Math.min(...values);
  };

  const tilesOf = (image, asked) => {
    /* The recipes' pictures, each once; first the shared ones, then the others with names. */
    const seen = new Map();
    for (const recipe of asked) {
      for (const [title, picture, role] of image.by[recipe]?.tiles ?? []) {
        if (!seen.has(picture)) seen.set(picture, { title, picture, role, of: [] });
        seen.get(picture).of.push(recipe);
      }
    }
    const having = asked.filter((recipe) => image.by[recipe]?.tiles.length);
    const tiles = [...seen.values()].map((tile) => ({
      ...tile,
      who: having.length > 1 && tile.of.length < having.length
        ? tile.of.map((recipe) => recipes[recipe]).join(", ") : "",
    }));
    return [...tiles.filter((one) => !one.who), ...tiles.filter((one) => one.who)];
  };

  const labelOf = ({ title, who }) => [who, title].filter(Boolean).join(" · ");

  const pictureOf = (image, shown, properties = {}) => {
    const label = labelOf(shown);
    return Object.assign(pictures[shown.picture].cloneNode(), {
      alt: label ? `${image.name}: ${label}` : image.name, ...properties,
    });
  };

  const sizeOf = (picture) => ["width", "height"].map((side) => Number(picture.getAttribute(side)));

  const tile = (image, shown, tag = "span") => {
    const picture = pictureOf(image, shown);
    const [width, height] = sizeOf(picture);
    const label = labelOf(shown);
    return make(tag, { className: width > 2 * height ? "tile strip" : "tile" },
      picture,
      label ? make("span", { className: "label", ariaHidden: "true", textContent: label }) : null);
  };

  const marks = (image, asked) => {
    const parts = [];
    for (const recipe of asked) {
      const by = image.by[recipe];
      if (!by) continue;
      const name = recipes.length > 1 ? `${recipes[recipe]}: ` : "";
      if (by.error !== null) {
        parts.push(make("span", { className: "bad", textContent: `${name}failed` }));
        continue;
      }
      const said = [by.rank === null ? "" : `${rank} ${fixed(by.rank)}`, by.found];
      parts.push(...said.filter(Boolean)
        .map((text) => make("span", { textContent: `${name}${text}` })));
    }
    return parts;
  };

  const asked = () => {
    const other = otherRecipe();
    return other === null || other === chosenRecipe() ? [chosenRecipe()] : [chosenRecipe(), other];
  };

  const card = (image) => {
    const which = asked();
    const tiles = tilesOf(image, which);
    const button = make("button", { type: "button", className: "card" },
      make("span", { className: "tiles" }, ...tiles.map((one) => tile(image, one))),
      make("span", { className: "caption" },
        make("b", { textContent: image.name }), ...marks(image, which)));
    button.dataset.open = image.name;
    const wide = tiles.length > 3 || button.querySelector(".strip");
    return make("li", { className: wide ? "wide" : "" }, button);
  };

  const more = () => {
    $("cards").append(...found.slice(shown, shown + PAGE).map(card));
    shown = Math.min(shown + PAGE, found.length);
    $("more").hidden = shown === found.length;
    const all = found.length === images.length ? "" : ` that fit, of ${images.length} in all`;
    $("count").textContent = found.length
      ? `${shown} of ${found.length} image${found.length === 1 ? "" : "s"}${all}`
      : "No image fits.";
  };

  const filter = () => {
    const order = $("order").value;
    const text = $("find").value.trim().toLowerCase();
    const failed = $("failed-only").checked;
    const doubt = $("doubt").value === "" ? Infinity : Number($("doubt").value);
    const which = asked();
    found = images.filter((image) =>
      image.name.toLowerCase().includes(text)
      && which.some((recipe) => image.by[recipe])
      && (doubt === Infinity || which.some((recipe) => (sure(image, recipe) ?? doubt) < doubt))
      && (!failed || which.some((recipe) => image.by[recipe] && image.by[recipe].error !== null)));
    const by = {
      worst: [(image) => value(image, which[0]), up ? 1 : -1],
      best: [(image) => value(image, which[0]), up ? -1 : 1],
      unsure: [(image) => sure(image, which[0]), 1],
      sure: [(image) => sure(image, which[0]), -1],
      difference: [difference, -1],
    }[order];
    if (by) {
      const [figure, sign] = by;
      found = found.map((image) => [figure(image), image])
        .sort(([a], [b]) => (a === null) - (b === null) || sign * (a - b)) // nothing comes last
        .map(([, image]) => image);
    }
    $("cards").replaceChildren();
    shown = 0;
    more();
  };

  /* ---- one image, at full width ---- */

  const dialog = $("large");
  let open = null; // its place among those that are browsed
  let browsed = [];
  let tiles = [];
  let staged = null; // the tile that is shown at full width
  let masked = true; // kept from image to image

  const stage = (image, shown) => {
    staged = shown;
    const photo = tiles.find((one) => one.role === "photo");
    const covers = shown?.role === "mask" && photo; // the mask can be taken off the photo
    $("mask").disabled = !covers;
    $("mask").ariaPressed = String(masked);
    const seen = covers && !masked ? photo : shown;
    /* Both are there, so that one takes the place of the other at once. */
    const both = covers ? [photo, shown] : [shown];
    $("stage").replaceChildren(...both.filter(Boolean).map((one) => {
      const picture = pictureOf(image, one, { decoding: "sync", loading: "eager" });
      picture.hidden = one !== seen;
      const [width, height] = sizeOf(picture);
      picture.className = height > width ? "tall" : "";
      return picture;
    }));
    if (seen) {
      $("stage").append(make("figcaption", { className: "label", textContent: labelOf(seen) }));
    }
    for (const button of $("large-body").querySelectorAll("button.tile")) {
      button.ariaPressed = String(Number(button.dataset.picture) === seen.picture);
    }
  };

  const toggle = () => {
    if ($("mask").disabled) return;
    masked = !masked;
    stage(browsed[open], staged);
  };

  const show = (place) => {
    open = (place + browsed.length) % browsed.length;
    const image = browsed[open];
    const every = recipes.map((_, recipe) => recipe);
    tiles = tilesOf(image, every);
    $("large-name").textContent = image.name;
    $("large-place").textContent = `${open + 1} of ${browsed.length}`;
    const rows = every.filter((recipe) => image.by[recipe])
      .sort((a, b) => ((value(image, b) ?? -1) - (value(image, a) ?? -1)) * (up ? 1 : -1))
      .map((recipe) => {
        const by = image.by[recipe];
        const text = [by.found, by.scores].filter(Boolean).join(" · ");
        return make("tr", {},
          make("th", { scope: "row", textContent: recipes[recipe] }),
          make("td", by.error === null ? { textContent: text || "–" }
            : { className: "bad", textContent: failures[by.error] }),
          make("td", {}, by.link
            ? make("a", { href: by.link, textContent: "full size" }) : ""));
      });
    const row = (some) => make("div", { className: "tiles" }, ...some.map((one) => {
      const button = tile(image, one, "button");
      button.type = "button";
      button.dataset.picture = one.picture;
      button.addEventListener("click", () => {
        masked = one.role === "photo" ? false : one.role === "mask" ? true : masked;
        stage(image, one.role === "photo" ? masksOf()[0] ?? one : one);
      });
      return button;
    }));
    $("large-body").replaceChildren(
      ...(tiles.length > 1
        ? [row(tiles.filter((one) => !one.who)), row(tiles.filter((one) => one.who))] : []),
      ...(tiles.length ? [] : [make("p", { className: "soft", textContent: "No picture of it is in this page." })]),
      make("div", { className: "scroll" }, make("table", {}, make("tbody", {}, ...rows))),
      make("p", { className: "soft", textContent: "To correct it: " },
        make("code", { textContent: commandFor(image) })));
    stage(image, masksOf()[0] ?? tiles[0]);
    dialog.scrollTop = 0;
  };

  /* What opens the page that takes corrections at this image, as a shell reads it. */
  const commandFor = (image) => {
    const quoted = /^[\w.+-]+$/.test(image.name) && !image.name.startsWith("-") ? image.name
      : `'${image.name.replaceAll("'", "'\\''")}'`;
    const of = image.by[chosenRecipe()] ? chosenRecipe() : image.by.findIndex(Boolean);
    return `segkit review ${review[of]} --image ${quoted}`;
  };

  /* An image's tiles with a mask, those of the recipe that is chosen first. */
  const masksOf = () => {
    const masks = tiles.filter((one) => one.role === "mask");
    const chosen = (one) => one.of.includes(chosenRecipe());
    return [...masks.filter(chosen), ...masks.filter((one) => !chosen(one))];
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-open]");
    if (!button || !places.has(button.dataset.open)) return;
    const image = images[places.get(button.dataset.open)];
    browsed = button.closest("#cards") ? found : images;
    show(browsed.indexOf(image));
    dialog.showModal(); // keeps the focus inside, closes by Esc, gives the focus back
  });
  $("previous").addEventListener("click", () => show(open - 1));
  $("next").addEventListener("click", () => show(open + 1));
  $("mask").addEventListener("click", toggle);
  $("stage").addEventListener("click", () => $("stage").classList.toggle("fitted"));
  $("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  /* On the document: an image without a picture hides the button that may have the focus. */
  document.addEventListener("keydown", (event) => {
    if (!dialog.open || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step !== undefined) show(open + step);
    else if (event.key === "m") toggle();
    else if (event.key === "f") $("stage").classList.toggle("fitted");
    else return;
    event.preventDefault();
  });

  filters.hidden = false;
  if ($("hint")) $("hint").hidden = false;
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("input", filter);
  $("more").addEventListener("click", () => {
    const first = shown;
    more();
    $("cards").children[first].firstElementChild.focus();
  });
  filter();
})();
