// Clicks on the photo, larger pictures, and what to take away.
const say = (detail) => document.dispatchEvent(new CustomEvent("segkit-clicks", { detail }));

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

element.addEventListener("click", (event) => {
  const img = event.target.closest("img");
  if (img && "clickable" in img.dataset) {
    const box = img.getBoundingClientRect();
    const share = (at, start, size) => Math.min(1, Math.max(0, (at - start) / size));
    say({ x: share(event.clientX, box.left, box.width), y: share(event.clientY, box.top, box.height), on: !event.shiftKey });
    return;
  }
  if (img && "zoom" in img.dataset) { zoom(img); return; }
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.role === "copy") copy(button);
  if (button.dataset.role === "save") save(button);
  if (button.dataset.role === "undo-click") say("undo");
  if (button.dataset.role === "clear-clicks") say("clear");
});

element.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("img[data-zoom]")) zoom(event.target);
});

watch("value", () => document.querySelectorAll("#stages").forEach((stages) => stages.classList.remove("busy")));
