// The form: all of it goes to Python with each change, so that no change is lost.
// `element`, `props`, `trigger` and `watch` come from gradio.
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

// `input`: the stages alone are made anew; `select`: the controls too, for other options stand there.
const send = (structure) => {
  document.querySelectorAll("#stages").forEach((stages) => stages.classList.add("busy"));
  trigger(structure ? "select" : "input", { form: form() });
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
  if (input.type === "range" && "open" in input.dataset && input.value === input.max) {
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

document.addEventListener("segkit-clicks", (event) => {
  if (event.detail === "clear") clicks = [];
  else if (event.detail === "undo") clicks.pop();
  else clicks.push(event.detail);
  send(false);
});

watch("value", show);
show();
send(false);
