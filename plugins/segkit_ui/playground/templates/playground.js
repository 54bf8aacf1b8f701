// The form: all of it goes to Python with each change. One question is under way at a time; what
// changes meanwhile is asked next, in one go. `element` and `server` come from gradio.
const opened = {};
let clicks = [];
let tab = "0";

const side = (section) => {
  const steps = [];
  section.querySelectorAll("fieldset").forEach((group) => {
    group.querySelectorAll(".step").forEach((step) => {
      const name = step.querySelector("[data-role=plugin]").value;
      if (!name) return;
      const options = {};
      if (name === step.dataset.step) {
        step.querySelectorAll("[data-field]").forEach((input) => {
          options[input.dataset.field] = input.type === "checkbox" ? (input.checked ? "on" : "") : input.value;
        });
      }
      const merge = step.querySelector("[data-role=merge]");
      steps.push({ kind: group.dataset.kind, name, merge: merge !== null && merge.checked, options });
    });
    const added = group.querySelector("[data-role=add]");
    if (added !== null && added.value) steps.push({ kind: group.dataset.kind, name: added.value });
  });
  const settings = {};
  section.querySelectorAll("[data-setting]").forEach((input) => { settings[input.dataset.setting] = input.value; });
  return { steps, ...settings };
};

const form = () => {
  const sides = [...element.querySelectorAll("section.side")].map(side);
  const two = element.querySelector("[data-role=compare]").checked;
  if (two && sides.length === 1) sides.push(sides[0]);
  return { photo: element.querySelector("[data-role=photo]").value, sides: two ? sides : sides.slice(0, 1), clicks };
};

let asking = false;
let number = ""; // of the question that is under way
let wanted = null; // null: nothing has changed; else whether the controls change too

const place = (id) => document.querySelector(`#${id} .holder`);

const send = async (structure) => {
  wanted = wanted || structure;
  if (asking) return;
  asking = true;
  place("stages").classList.add("busy");
  while (wanted !== null) {
    const controls = wanted;
    const sent = form();
    wanted = null;
    number = `${Date.now()}-${Math.random()}`;
    try {
      const answer = await server.answer({ form: sent, controls, number });
      if (controls && wanted !== null) { wanted = true; continue; } // what changed meanwhile stands in the old ones
      if (answer.controls !== null) { place("controls").innerHTML = answer.controls; show(); }
      if (answer.stages !== null) place("stages").innerHTML = answer.stages;
      say(answer.sentence);
    } catch {
      say("The playground does not answer; look whether its command still runs.");
    }
  }
  asking = false;
  place("stages").classList.remove("busy");
};

const say = (sentence) => {
  const said = document.createElement("p");
  said.className = "error";
  said.setAttribute("role", "alert");
  said.textContent = sentence;
  place("says").replaceChildren(...(sentence ? [said] : []));
};

const show = () => {
  element.querySelectorAll("details[data-key]").forEach((details) => {
    if (details.dataset.key in opened) details.open = opened[details.dataset.key];
    details.addEventListener("toggle", () => { opened[details.dataset.key] = details.open; });
  });
  const tabs = element.querySelectorAll("[data-tab]");
  if (!tabs.length) tab = "0";
  tabs.forEach((button) => button.setAttribute("aria-selected", String(button.dataset.tab === tab)));
  element.querySelectorAll("section.side").forEach((section) => { section.hidden = tabs.length > 0 && section.dataset.side !== tab; });
};

element.addEventListener("input", (event) => {
  const input = event.target;
  const slider = input.closest(".slider");
  if (slider) {
    const range = slider.querySelector("[type=range]");
    const number = slider.querySelector("[type=number]");
    if (input === range) number.value = range.value;
    else {
      if ("open" in range.dataset && Number(number.value) > Number(range.max)) range.max = number.value;
      range.value = number.value;
    }
    if (number.value === "" || !number.checkValidity()) return;
  }
  if (input.dataset.role || input.type === "text") return;
  send(false);
});

element.addEventListener("change", (event) => {
  const input = event.target;
  if (input.type === "range" && "open" in input.dataset && Number(input.value) === Number(input.max)) {
    input.max = Number(input.min) + 2 * (Number(input.max) - Number(input.min)); // pulled to its end
  }
  const role = input.dataset.role;
  if (role === "photo") { clicks = []; send(false); }
  else if (role === "merge") send(false);
  else if (role === "compare") { tab = input.checked ? "1" : "0"; send(true); }
  else if (role === "plugin" || role === "add") send(true);
  else if (input.type === "text") send(false);
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.tab) { tab = button.dataset.tab; show(); }
  if (button.dataset.role === "drop") {
    button.closest(".step").remove();
    send(true);
  }
});

const clicked = (click) => {
  if (click === "clear") clicks = [];
  else if (click === "undo") clicks.pop();
  else clicks.push(click);
  send(false);
};

// ---- the stages: clicks on the photo, larger pictures, and what to take away -------------------

let dialog = document.getElementById("zoomed");
if (!dialog) {
  dialog = document.createElement("dialog");
  dialog.id = "zoomed";
  dialog.append(document.createElement("img"), document.createElement("p"));
  dialog.addEventListener("click", () => dialog.close());
  document.body.append(dialog);
}

const zoom = (img) => {
  dialog.firstChild.src = img.src;
  dialog.firstChild.alt = img.alt;
  dialog.lastChild.textContent = img.alt;
  dialog.showModal();
};

const copy = async (button) => {
  const command = button.closest(".take").querySelector(".command");
  let done = true;
  try {
    await navigator.clipboard.writeText(command.textContent);
  } catch {
    const range = document.createRange(); // a page that is not https may not write; select it
    range.selectNodeContents(command);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    done = document.execCommand("copy");
  }
  button.textContent = done ? "Copied" : "Selected";
  setTimeout(() => { button.textContent = "Copy command"; }, 1500);
};

const save = (button) => {
  const text = button.closest(".take").querySelector(".toml").content.textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/toml" }));
  link.download = button.dataset.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

const begin = () => {
  if (!["stages", "says"].every(place) || !document.getElementById("news")) {
    requestAnimationFrame(begin); // gradio is still putting them in
    return;
  }
  const shown = document.getElementById("stages");
  const working = document.createElement("p");
  working.id = "working";
  const cancel = document.createElement("button");
  cancel.type = "button";
  cancel.textContent = "Cancel";
  cancel.addEventListener("click", () => server.cancel(number).catch(() => {})); // the question itself says what is wrong
  working.append("Working … ", cancel);
  shown.before(working);

  shown.addEventListener("click", (event) => {
    const img = event.target.closest("img");
    if (img && "clickable" in img.dataset) {
      const box = img.getBoundingClientRect();
      const share = (at, start, size) => Math.min(1, Math.max(0, (at - start) / size));
      clicked({ x: share(event.clientX, box.left, box.width), y: share(event.clientY, box.top, box.height), on: !event.shiftKey });
      return;
    }
    if (img && "zoom" in img.dataset) { zoom(img); return; }
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.role === "copy") copy(button);
    if (button.dataset.role === "save") save(button);
    if (button.dataset.role === "undo-click") clicked("undo");
    if (button.dataset.role === "clear-clicks") clicked("clear");
  });

  shown.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("img[data-zoom]")) zoom(event.target);
  });

  // A photo that was uploaded: gradio puts its key, or what is wrong with it, into `news`.
  const news = document.getElementById("news");
  let heard = "";
  new MutationObserver(() => {
    const told = news.querySelector("[data-news]");
    if (!told || told.dataset.news === heard) return; // gradio may change the element that is there
    heard = told.dataset.news;
    if (told.dataset.sentence) { say(told.dataset.sentence); return; }
    const photo = element.querySelector("[data-role=photo]");
    photo.prepend(new Option(told.dataset.name, told.dataset.key, true, true));
    clicks = [];
    send(false);
  }).observe(news, { attributes: true, childList: true, subtree: true });

  show();
  send(false);
};

begin();
