// The page of `segkit review`. gradio gives `element`, where the page is, and `server`, whose
// functions are the methods of `Desk` in desk.py. All names are shown as text, never as HTML.
const $ = (selector) => element.querySelector(selector);
const COLOURS = { mask: '#f97316', other: '#38bdf8', object: '#22c55e', background: '#ef4444' };
const canvas = $('canvas'), pen = canvas.getContext('2d');

let items = [], decided = new Map(), since = 0, current = null, picture = null, strip = [];
let prompt = null, pending = null, hidden = false, cross = null, sign = true, drag = null;
let decoding = false, again = false, asked = 0, classEdited = false, judged = false;
const visited = [], undoable = [], pictures = new Map();

const keyOf = (image, mask) => JSON.stringify([image, mask]);
const verdictOf = (item) => decided.get(keyOf(item.image, item.mask));
const classOf = (item) => { const d = verdictOf(item); return d && 'class' in d ? d.class : item.class; };

function say(text, bad) { $('.say').textContent = text || ''; $('.say').classList.toggle('error', !!bad); }
function busy(text) { $('.busy').textContent = text || ''; }

// Where nobody answers, gradio gives undefined or throws.
async function call(name, question) {
  const answer = await Promise.resolve(server[name](question)).catch(() => null);
  return answer || { error: 'segkit review does not answer; start it again, nothing that was decided is lost' };
}

async function ask(name, question) {
  const answer = await call(name, question);
  if (answer.error) { say(answer.error, true); return null; }
  return answer;
}

// ---- what is decided, and what is to be shown ----------------------------------------------------

function take(answer) {
  if (answer.since !== undefined) since = answer.since;
  for (const [image, mask] of answer.open || []) decided.delete(keyOf(image, mask));
  for (const d of answer.decided || []) {
    decided.set(keyOf(d.image, d.mask), d);
    if (d.mask !== null && !items.some((i) => i.image === d.image && i.mask === d.mask)) {
      const last = items.map((i) => i.image).lastIndexOf(d.image);
      items.splice(last + 1, 0, { image: d.image, mask: d.mask, class: d.class ?? null, quality: null, pixels: null, added: true });
    }
  }
}

function within(item) {
  const chosen = $('.filter-class').value;
  if (chosen !== '*' && (classOf(item) || '') !== chosen) return false;
  const quality = item.quality ?? 0;
  return item.added || (quality >= +$('.least').value && quality <= +$('.most').value);
}

function wanted(item) {
  const state = $('.filter-state').value, verdict = verdictOf(item);
  return within(item) && (state === '' || (verdict ? verdict.decision : 'open') === state);
}

function following(from) {
  const start = from ? items.indexOf(from) + 1 : 0;
  for (let step = 0; step < items.length; step++) {
    const item = items[(start + step) % items.length];
    if (item !== from && wanted(item)) return item;
  }
  return null;
}

function count() {
  const matching = items.filter(within), done = matching.filter(verdictOf);
  const of = (what) => done.filter((i) => verdictOf(i).decision === what).length;
  const share = matching.length ? 100 * done.length / matching.length : 0;
  $('.progress i').style.width = share + '%';
  $('.progress').setAttribute('aria-valuenow', Math.round(share));
  $('.counts').textContent = `${done.length} of ${matching.length} decided: ${of('keep')} kept, ${of('reject')} rejected, ${of('corrected')} corrected`;
  const above = items.filter((i) => acceptable(i)).length;
  $('.above-count').textContent = `${above} mask${above === 1 ? '' : 's'}`;
  $('[data-do=accept]').disabled = !above;
  $('[data-do=undo]').disabled = !undoable.length;
  $('[data-do=back]').disabled = !visited.length;
}

function acceptable(item) {
  const chosen = $('.filter-class').value;
  return !verdictOf(item) && item.quality !== null && item.quality >= +$('.above').value
    && (chosen === '*' || (item.class || '') === chosen);
}

function load(image) {
  if (!pictures.has(image)) {
    if (pictures.size > 6) pictures.delete(pictures.keys().next().value);
    pictures.set(image, call('picture', { image }));
  }
  return pictures.get(image);
}

function decoded(url) {
  return new Promise((good, bad) => { const img = new Image(); img.onload = () => good(img); img.onerror = bad; img.src = url; });
}

async function tinted(url, colour) {
  const img = await decoded(url), layer = document.createElement('canvas');
  layer.width = img.width; layer.height = img.height;
  const draw = layer.getContext('2d');
  draw.drawImage(img, 0, 0);
  draw.globalCompositeOperation = 'source-in';
  draw.fillStyle = colour; draw.fillRect(0, 0, layer.width, layer.height);
  return layer;
}

async function show(item, keepHistory) {
  if (current && !keepHistory && current !== item) visited.push(current);
  current = item; prompt = null; pending = null; strip = []; cross = null; picture = null; classEdited = false;
  const turn = ++asked;
  facts();
  if (!item) { clear('All that you look for is decided.'); return; }
  busy('loading'); say('');
  const answer = await load(item.image);
  if (turn !== asked) return;
  busy('');
  if (answer.error) { pictures.delete(item.image); clear(''); say(answer.error, true); return; }
  const own = item.mask === null ? '-1' : String(item.mask);
  const others = Object.keys(answer.masks).filter((place) => place !== own && rejected(item.image, place) === false);
  const [photo, mask, ...rest] = await Promise.all([
    decoded(answer.url), answer.masks[own] ? tinted(answer.masks[own], COLOURS.mask) : null,
    ...others.map((place) => tinted(answer.masks[place], COLOURS.other)),
  ]);
  if (turn !== asked) return;
  picture = { ...answer, photo, mask, rest, own: item.mask === null || item.added ? null : answer.prompts[item.mask] };
  // A small photo is drawn larger, so that marks are as fine as on a large one.
  const grown = Math.max(1, Math.min(4, 1400 / Math.max(photo.width, photo.height)));
  canvas.width = Math.round(photo.width * grown); canvas.height = Math.round(photo.height * grown);
  if (item.fresh) start();
  fit(); showStrip();
  ahead(item, turn);
}

function rejected(image, place) {
  const verdict = decided.get(keyOf(image, place === '-1' ? null : +place));
  return !!verdict && verdict.decision === 'reject';
}

function ahead(item, turn) {
  setTimeout(async () => {
    if (turn !== asked) return;
    const next = following(item);
    if (next && next.image !== item.image) load(next.image);
    if (item.mask !== 'new') {
      const answer = await ask('alternatives', { image: item.image, mask: item.mask });
      if (answer && turn === asked) { picture.alternatives = answer.alternatives; showStrip(); }
    }
    if (turn !== asked) return;
    const ready = await call('prepare', { image: item.image });
    if (turn === asked) $('.hint').textContent = ready.error || ready.note || '';
  }, 250);
}

function clear(text) { pen.clearRect(0, 0, canvas.width, canvas.height); $('.strip').replaceChildren(); say(text); busy(''); }

function facts() {
  const item = current;
  $('.image').textContent = item ? item.image : '';
  const own = item ? items.filter((i) => i.image === item.image && i.mask !== null) : [];
  $('.place').textContent = !item ? '' : item.fresh ? 'a new object' : item.mask === null ? 'no single mask was found'
    : own.length > 1 ? `mask ${own.indexOf(item) + 1} of ${own.length}` : '';
  const verdict = item && verdictOf(item);
  $('.verdict').textContent = verdict ? { keep: 'kept', reject: 'rejected', corrected: 'corrected' }[verdict.decision] : '';
  $('.verdict').className = 'verdict ' + (verdict ? verdict.decision : '');
  const quality = item && item.quality !== null && item.quality !== undefined ? item.quality.toFixed(2) : '–';
  $('.quality').textContent = quality === '–' ? quality : quality + (judged ? '' : ' (the segmenter’s own score)');
  if (!classEdited) $('.class').value = (item && classOf(item)) || '';
  $('[data-do=keep]').firstChild.textContent = pending || prompt ? 'Keep corrected' : 'Keep';
  for (const name of ['keep', 'reject', 'skip', 'label', 'afresh', 'add', 'cross']) $(`[data-do=${name}]`).disabled = !item;
  $('[data-do=unclick]').disabled = !(prompt && prompt.own.length);
  $('[data-do=leave]').disabled = !prompt && !pending;
  count();
}

// ---- drawing --------------------------------------------------------------------------------------

// As large as the frame and the window allow, at most four times the photo's own size.
function fit() {
  if (!picture) return;
  const narrow = window.innerWidth <= 900, most = narrow ? 0.58 * window.innerHeight : window.innerHeight - 230;
  const scale = Math.min(($('.frame').clientWidth - 2) / canvas.width, Math.max(260, most) / canvas.height, 4 * picture.photo.width / canvas.width);
  canvas.style.width = Math.round(canvas.width * scale) + 'px'; canvas.style.height = Math.round(canvas.height * scale) + 'px';
  draw();
}

function draw() {
  if (!picture) return;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture.photo, 0, 0, canvas.width, canvas.height);
  if (!hidden) {
    pen.globalAlpha = 0.55;
    for (const layer of picture.rest) pen.drawImage(layer, 0, 0, canvas.width, canvas.height);
    pen.globalAlpha = 1;
    const mask = pending ? pending.layer : (prompt && prompt.bare ? null : picture.mask);
    if (mask) pen.drawImage(mask, 0, 0, canvas.width, canvas.height);
  }
  const asks = prompt || (picture.own && !hidden ? { ...picture.own, own: [] } : null);
  const unit = canvas.width / (canvas.clientWidth || canvas.width);
  if (asks) marks(asks, unit);
  if (drag && drag.moved) frame([drag.x, drag.y, drag.toX, drag.toY], unit, [6, 4]);
  if (cross) {
    pen.strokeStyle = '#fff'; pen.lineWidth = 2 * unit;
    pen.beginPath(); pen.moveTo(cross.x - 14 * unit, cross.y); pen.lineTo(cross.x + 14 * unit, cross.y);
    pen.moveTo(cross.x, cross.y - 14 * unit); pen.lineTo(cross.x, cross.y + 14 * unit); pen.stroke();
  }
}

function marks(asks, unit) {
  asks.points.forEach(([x, y], i) => {
    const [cx, cy] = shown(x, y);
    pen.beginPath(); pen.arc(cx, cy, 6 * unit, 0, 7);
    pen.fillStyle = asks.signs[i] ? COLOURS.object : COLOURS.background; pen.fill();
    pen.lineWidth = 2 * unit; pen.strokeStyle = asks.own.includes(i) ? '#fff' : '#000'; pen.stroke();
  });
  if (asks.box) frame([...shown(asks.box[0], asks.box[1]), ...shown(asks.box[2], asks.box[3])], unit, []);
}

function frame([x, y, toX, toY], unit, dashes) {
  pen.setLineDash(dashes.map((n) => n * unit)); pen.lineWidth = 2 * unit; pen.strokeStyle = '#fff';
  pen.strokeRect(x, y, toX - x, toY - y); pen.setLineDash([]);
}

// Pixels of the image to those of the canvas, and back: whole numbers name pixel centres.
function shown(x, y) { return [(x + 0.5) * canvas.width / picture.width, (y + 0.5) * canvas.height / picture.height]; }
function pixel(x, y) {
  const at = (v, size, full) => Math.min(full - 1, Math.max(0, Math.round((v * full / size - 0.5) * 100) / 100));
  return [at(x, canvas.width, picture.width), at(y, canvas.height, picture.height)];
}

function showStrip() {
  strip = [];
  (pending && pending.candidates || []).forEach((c, i) => strip.push({ ...c, label: `answer ${i + 1}`, candidate: i, prompt: pending.prompt }));
  for (const a of (picture && picture.alternatives) || []) strip.push({ ...a, label: a.recipe });
  if (strip.length === 1 && strip[0].candidate === 0) strip = [];
  $('.strip').replaceChildren(...strip.slice(0, 12).map((entry, i) => {
    const button = document.createElement('button'), view = document.createElement('canvas'), text = document.createElement('span');
    button.classList.toggle('chosen', !!pending && pending.url === entry.url);
    text.textContent = (i < 9 ? `${i + 1}  ` : '') + entry.label + (entry.score === undefined ? '' : `  ${entry.score.toFixed(2)}`);
    button.title = entry.label;
    view.width = 240; view.height = Math.max(1, Math.round(240 * canvas.height / canvas.width));
    button.append(view, text);
    button.onclick = () => choose(i);
    tinted(entry.url, COLOURS.mask).then((layer) => {
      entry.layer = layer;
      const small = view.getContext('2d');
      small.drawImage(picture.photo, 0, 0, view.width, view.height);
      small.drawImage(layer, 0, 0, view.width, view.height);
    });
    return button;
  }));
}

async function choose(i) {
  const entry = strip[i];
  if (!entry) return;
  entry.layer = entry.layer || await tinted(entry.url, COLOURS.mask);
  const candidates = entry.candidate === undefined ? (pending && pending.candidates) : pending.candidates;
  pending = { ...entry, candidates, prompt: entry.prompt || (pending && pending.prompt) || null };
  facts(); draw(); showStrip();
}

// ---- correcting -----------------------------------------------------------------------------------

function start(afresh) {
  const run = !afresh && picture.own;
  prompt = { points: run ? [...run.points] : [], signs: run ? [...run.signs] : [], box: run ? run.box : null, own: [], steps: [], bare: !!afresh };
}

function remember() { prompt.steps.push(JSON.stringify({ points: prompt.points, signs: prompt.signs, box: prompt.box, own: prompt.own })); }

function click(x, y, positive) {
  if (!picture) return;
  if (!prompt) start();
  remember();
  prompt.points.push(pixel(x, y)); prompt.signs.push(positive); prompt.own.push(prompt.points.length - 1);
  facts(); draw(); decode();
}

function box(x, y, toX, toY) {
  if (!picture) return;
  if (!prompt) start();
  remember();
  const [left, top] = pixel(Math.min(x, toX), Math.min(y, toY)), [right, bottom] = pixel(Math.max(x, toX), Math.max(y, toY));
  // Points outside of the box contradict it.
  const inside = prompt.points.map(([px, py]) => px >= left && px <= right && py >= top && py <= bottom);
  prompt.own = prompt.own.filter((i) => inside[i]).map((i) => inside.slice(0, i).filter(Boolean).length);
  prompt.signs = prompt.signs.filter((_, i) => inside[i]);
  prompt.points = prompt.points.filter((_, i) => inside[i]);
  prompt.box = [left, top, right, bottom];
  facts(); draw(); decode();
}

function unclick() {
  if (!prompt || !prompt.steps.length) return;
  Object.assign(prompt, JSON.parse(prompt.steps.pop()));
  pending = null; facts(); draw(); showStrip();
  if (prompt.steps.length) decode();
}

async function decode() {
  if (decoding) { again = true; return; }
  decoding = true; busy('…');
  const turn = asked;
  do {
    again = false;
    const question = { points: prompt.points, signs: prompt.signs, box: prompt.box };
    const answer = await ask('decode', { image: current.image, prompt: question });
    if (turn !== asked || !prompt || again) continue;
    if (answer) {
      const layer = await tinted(answer.candidates[0].url, COLOURS.mask);
      if (turn !== asked || !prompt) continue;
      pending = { ...answer.candidates[0], layer, candidate: 0, candidates: answer.candidates, prompt: question };
      say(''); $('.hint').textContent = answer.note || '';
    }
    facts(); draw(); showStrip();
  } while (again && turn === asked);
  decoding = false; busy('');
  canvas.dataset.decoded = (+canvas.dataset.decoded || 0) + 1;
  if (again && prompt) decode();
}

function leave() {
  if (cross && !prompt && !pending) { cross = null; draw(); return; }
  cross = null;
  if (current && current.fresh) { act.back(); return; }
  prompt = null; pending = null; classEdited = false; say(''); facts(); draw(); showStrip();
}

// ---- deciding -------------------------------------------------------------------------------------

async function decide(decision) {
  const item = current;
  if (!item || decoding) return;
  const question = { image: item.image, mask: item.mask, decision, class: $('.class').value.trim() };
  const before = verdictOf(item);
  if (decision === 'keep' && pending) {
    question.decision = 'corrected';
    if (pending.recipe !== undefined) Object.assign(question, { recipe: pending.recipe, place: pending.place });
    else Object.assign(question, { prompt: pending.prompt, candidate: pending.candidate });
  } else if (decision === 'keep' && (item.fresh || prompt)) {
    say('there is no mask yet; click on the object, or press Esc', true); return;
  } else if (decision === 'keep' && before && before.file) {
    Object.assign(question, { decision: 'corrected', same: true });
  }
  if (item.fresh && question.decision === 'reject') { leave(); return; }
  if (!question.class && !classOf(item)) delete question.class;
  busy('keeping');
  const answer = await ask('decide', question);
  busy('');
  if (!answer) return;
  if (question.decision === 'corrected') pictures.delete(item.image);
  undoable.push({ token: answer.token, item: item.fresh ? null : item });
  take(answer);
  if (current === item) show(following(item));
}

async function accept() {
  const chosen = $('.filter-class').value;
  const answer = await ask('accept', { least: +$('.above').value, class: chosen === '*' ? null : chosen });
  if (!answer) return;
  if (answer.token) undoable.push({ token: answer.token, item: null });
  take(answer);
  say(`${(answer.keys || []).length} masks accepted; u undoes it`);
  if (current && wanted(current)) facts(); else show(following(current));
}

async function undo() {
  const last = undoable.pop();
  if (!last) return;
  const answer = await ask('undo', { token: last.token });
  if (!answer) return;
  for (const [image] of answer.keys || []) pictures.delete(image);
  take(answer);
  items = items.filter((i) => !i.added || verdictOf(i));
  show(last.item || (current && items.includes(current) ? current : following(null)), true);
}

const act = {
  keep: () => decide('keep'), reject: () => decide('reject'), undo, accept, leave, unclick,
  skip: () => { const next = following(current); if (next) show(next); else say('nothing else is left; show all, or close the page'); },
  back: () => { const last = visited.pop(); if (last) show(last, true); },
  label: () => { $('.class').focus(); $('.class').select(); },
  afresh: () => { if (picture) { start(true); pending = null; facts(); draw(); showStrip(); say('click on the object, or draw a box around it'); } },
  add: () => { if (current) show({ image: current.image, mask: 'new', class: null, quality: null, fresh: true }).then(() => say('click on the new object, or draw a box around it')); },
  hide: () => { hidden = !hidden; draw(); },
  cross: () => { if (picture) { cross = cross ? null : { x: canvas.width / 2, y: canvas.height / 2 }; draw(); if (cross) say('arrow keys move the cross, Space clicks, Esc leaves'); } },
  turn: () => { sign = !sign; for (const radio of element.querySelectorAll('[name=segkit-sign]')) radio.checked = (radio.value === '1') === sign; },
};

const KEYS = {
  k: 'keep', Enter: 'keep', x: 'reject', s: 'skip', ArrowRight: 'skip', ArrowLeft: 'back', u: 'undo', l: 'label',
  f: 'afresh', z: 'unclick', Backspace: 'unclick', n: 'add', m: 'hide', c: 'cross', b: 'turn', Escape: 'leave',
};

function onKey(event) {
  if (!element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest && event.target.closest('input:not([type=radio]), select, textarea');
  if (field) {
    if (event.key === 'Escape' || (event.key === 'Enter' && field.tagName === 'INPUT')) { field.blur(); event.preventDefault(); }
    return;
  }
  if ((event.key === 'Enter' || event.key === ' ') && event.target.closest && event.target.closest('button, summary')) return;
  if (cross && (event.key.startsWith('Arrow') || event.key === ' ')) {
    event.preventDefault();
    const step = canvas.width / (event.shiftKey ? 10 : 50);
    if (event.key === ' ') click(cross.x, cross.y, event.shiftKey ? !sign : sign);
    else {
      cross.x = Math.min(canvas.width, Math.max(0, cross.x + step * ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] || 0)));
      cross.y = Math.min(canvas.height, Math.max(0, cross.y + step * ({ ArrowUp: -1, ArrowDown: 1 }[event.key] || 0)));
      draw();
    }
    return;
  }
  if (/^[1-9]$/.test(event.key)) { choose(+event.key - 1); return; }
  const name = KEYS[event.key];
  if (name && !event.repeat) { event.preventDefault(); act[name](); }
}

function place(event) {
  const area = canvas.getBoundingClientRect();
  return [(event.clientX - area.left) * canvas.width / area.width, (event.clientY - area.top) * canvas.height / area.height];
}

canvas.addEventListener('contextmenu', (event) => event.preventDefault());
canvas.addEventListener('pointerdown', (event) => {
  if (!picture) return;
  canvas.setPointerCapture(event.pointerId);
  const [x, y] = place(event);
  drag = { x, y, toX: x, toY: y, moved: false, fromX: event.clientX, fromY: event.clientY };
});
canvas.addEventListener('pointermove', (event) => {
  if (!drag) return;
  [drag.toX, drag.toY] = place(event);
  drag.moved = drag.moved || Math.hypot(event.clientX - drag.fromX, event.clientY - drag.fromY) > 6;
  if (drag.moved) draw();
});
canvas.addEventListener('pointerup', (event) => {
  if (!drag) return;
  const { x, y, toX, toY, moved } = drag;
  drag = null;
  if (moved) box(x, y, toX, toY);
  else click(x, y, event.button === 2 || event.shiftKey ? !sign : sign);
});
canvas.addEventListener('pointercancel', () => { drag = null; draw(); });

for (const button of element.querySelectorAll('[data-do]')) button.addEventListener('click', () => { button.blur(); act[button.dataset.do](); });
for (const radio of element.querySelectorAll('[name=segkit-sign]')) radio.addEventListener('change', () => { sign = radio.value === '1'; radio.blur(); });
for (const name of ['.filter-state', '.filter-class', '.least', '.most']) $(name).addEventListener('change', () => { if (current && wanted(current)) facts(); else show(following(current)); });
$('.above').addEventListener('input', count);
$('.class').addEventListener('input', () => { classEdited = true; });
document.addEventListener('keydown', onKey);
window.addEventListener('resize', fit);

// Decisions that other windows make.
setInterval(async () => {
  if (!element.isConnected || document.hidden || !items.length) return;
  const answer = await call('news', { since });
  if (answer.error || answer.since === since) return;
  for (const d of answer.decided) if (d.file) pictures.delete(d.image);
  take(answer);
  facts();
}, 3000);

(async () => {
  const answer = await ask('start', {});
  if (!answer) return;
  items = answer.items; judged = answer.judged;
  take(answer);
  document.title = `${answer.run} – segkit review`;
  $('#segkit-classes').replaceChildren(...answer.classes.map((name) => new Option(name)));
  $('.filter-class').append(...[...new Set(items.map((i) => i.class || ''))].sort().map((name) => new Option(name || 'no class', name)));
  await show(items.find((i) => i.image === answer.first) || following(null));
  if (answer.failed) say(`${answer.failed} images failed in the run and are not shown`);
  element.dataset.ready = '1';
})();
