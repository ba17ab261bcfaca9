// Ranking: pictures in a row (on a phone in a column), sorted by dragging, by their arrow buttons, or by keys.
// The first place is the best. Keys after the ARIA practice for a list that can be rearranged: Space lifts and puts
// down, arrows move, Escape puts back.
'use strict';

const DRAG_FROM = 6; // pixels that a pointer must move before a press is a drag

Study.forms.ranking = function (trial, told, places, answered) {
  new Ranking(trial, told, places, answered);
  return () => {};
};

class Ranking {
  constructor(trial, told, places, answered) {
    Object.assign(this, { trial, told, answered, moved: false, warned: false, lifted: null, before: null });
    const { make } = Study;
    this.strip = make('ol', { id: 'strip' });
    this.strip.setAttribute('aria-label', Study.say('order', told));
    trial.shown.forEach((picture, place) => this.strip.append(this.entry(picture, place)));
    this.ends = make('div', { className: 'ends' }, make('span', { textContent: `1: ${told.best}` }), make('span', { textContent: `${trial.shown.length}: ${told.worst}` }));
    this.news = make('p', { className: 'note', hidden: true });
    this.news.setAttribute('role', 'status');
    this.confirm = make('button', { type: 'button', className: 'answer', textContent: Study.say('confirm-order'), onclick: () => this.finish() });
    this.confirm.id = 'confirm-order';
    const lowest = make('p', { className: 'note down', textContent: `${trial.shown.length}: ${told.worst}` });
    if (trial.reference) places.stimuli.append(Study.referenceFigure(trial));
    places.stimuli.append(this.ends, this.strip, lowest);
    places.answers.append(this.news, this.confirm);
    this.number();
  }

  get entries() {
    return Array.from(this.strip.children);
  }

  get column() {
    return getComputedStyle(this.strip).flexDirection === 'column';
  }

  entry(picture, place) {
    const { make } = Study;
    const label = Study.pictureLabel(place, this.trial.shown.length);
    const button = (name, text, across, down, act) => {
      const element = make('button', { type: 'button', tabIndex: -1, onclick: act }, make('span', { className: 'across', textContent: across }), make('span', { className: 'down', textContent: down }));
      element.setAttribute('aria-label', Study.say(text, { face: label }));
      element.dataset.act = name;
      return element;
    };
    const item = make('li', { className: 'entry', tabIndex: 0 }, Study.Pictures.element(picture, ''));
    item.dataset.position = String(place);
    item.dataset.label = label;
    const grip = make('span', { className: 'grip' }, make('span', { className: 'place' }), ' ⠿');
    grip.setAttribute('aria-hidden', 'true');
    const tools = make('div', { className: 'tools' });
    tools.append(
      make('div', { className: 'name', textContent: label }),
      button('back', 'forward', '◀', '▲', () => this.shift(item, -1)),
      grip,
      button('closer', 'enlarge', '⤢', '⤢', () => Study.showCloser(picture, label)),
      button('on', 'backward', '▶', '▼', () => this.shift(item, 1)),
    );
    item.append(tools);
    item.addEventListener('keydown', (event) => this.key(event, item));
    item.addEventListener('pointerdown', (event) => this.press(event, item));
    return item;
  }

  number() {
    this.entries.forEach((item, place) => {
      item.querySelector('.place').textContent = String(place + 1);
      const text = this.lifted === item ? 'place-lifted' : 'place';
      item.setAttribute('aria-label', Study.say(text, { face: item.dataset.label, place: place + 1, count: this.entries.length }));
      item.querySelector('[data-act=back]').disabled = place === 0;
      item.querySelector('[data-act=on]').disabled = place === this.entries.length - 1;
      item.classList.toggle('lifted', this.lifted === item);
    });
  }

  say(text) {
    this.news.textContent = text;
    this.news.hidden = !text;
  }

  // Moves an entry by places; focus stays with it.
  shift(item, by) {
    const entries = this.entries;
    const to = entries.indexOf(item) + by;
    if (to < 0 || to >= entries.length) return;
    const focused = item.contains(document.activeElement) ? document.activeElement : null;
    this.strip.insertBefore(item, by > 0 ? entries[to].nextSibling : entries[to]);
    this.moved = true;
    this.number();
    if (focused) (focused.disabled ? item : focused).focus();
    this.say(Study.say('moved', { face: item.dataset.label, place: to + 1, count: entries.length }));
  }

  key(event, item) {
    if (event.target !== item || event.ctrlKey || event.altKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (event.key === ' ' || event.key === 'Enter') {
      if (this.lifted === item) this.putDown();
      else this.lift(item);
    } else if (event.key === 'Escape' && this.lifted) {
      this.strip.append(...this.before);
      const label = this.lifted.dataset.label;
      this.lifted.focus();
      this.lifted = null;
      this.number();
      this.say(Study.say('put-back', { face: label }));
    } else if (step && this.lifted === item) {
      this.shift(item, step);
    } else if (step) {
      const neighbour = this.entries[this.entries.indexOf(item) + step];
      if (neighbour) neighbour.focus();
    } else if (event.key === 'e' || event.key === 'E') {
      item.querySelector('[data-act=closer]').click();
    } else {
      return;
    }
    event.preventDefault();
  }

  lift(item) {
    this.lifted = item;
    this.before = this.entries;
    this.number();
    this.say(Study.say('lifted', { face: item.dataset.label }));
  }

  putDown() {
    const item = this.lifted;
    this.lifted = null;
    this.number();
    this.say(Study.say('put-down', { face: item.dataset.label, place: this.entries.indexOf(item) + 1 }));
  }

  // A finger drags by the grip, because elsewhere it scrolls the page; a mouse drags anywhere.
  press(event, item) {
    if (event.button !== 0 || event.target.closest('button')) return;
    if (event.pointerType === 'touch' && !event.target.closest('.grip')) return;
    const start = { x: event.clientX, y: event.clientY };
    let dragging = false;
    const move = (now) => {
      if (now.pointerId !== event.pointerId) return;
      if (!dragging && Math.hypot(now.clientX - start.x, now.clientY - start.y) < DRAG_FROM) return;
      if (!dragging) {
        dragging = true;
        item.setPointerCapture(event.pointerId);
        item.classList.add('dragged');
      }
      this.drag(item, now, start);
    };
    const end = (now) => {
      if (now.pointerId !== event.pointerId) return;
      for (const [name, heard] of Object.entries(heards)) item.ownerDocument.removeEventListener(name, heard);
      item.classList.remove('dragged');
      item.style.transform = '';
      if (dragging) this.say(Study.say('put-down', { face: item.dataset.label, place: this.entries.indexOf(item) + 1 }));
    };
    const heards = { pointermove: move, pointerup: end, pointercancel: end };
    for (const [name, heard] of Object.entries(heards)) item.ownerDocument.addEventListener(name, heard);
  }

  // Follows the pointer, and changes places with a neighbour once the pointer is past the neighbour's middle.
  drag(item, now, start) {
    const axis = this.column ? ['clientY', 'top', 'height', 'y'] : ['clientX', 'left', 'width', 'x'];
    const middle = (element) => {
      const box = element.getBoundingClientRect();
      return box[axis[1]] + box[axis[2]] / 2;
    };
    const resting = () => {
      item.style.transform = '';
      return item.getBoundingClientRect()[axis[1]];
    };
    const at = resting();
    const entries = this.entries;
    const from = entries.indexOf(item);
    const target = entries.findIndex((other, place) =>
      place < from ? now[axis[0]] < middle(other) : place > from && now[axis[0]] > middle(other) && !(entries[place + 1] && now[axis[0]] > middle(entries[place + 1])));
    if (target >= 0) {
      this.strip.insertBefore(item, target > from ? entries[target].nextSibling : entries[target]);
      this.moved = true;
      this.number();
      start[axis[3]] += resting() - at;
    }
    const offset = { x: now.clientX - start.x, y: now.clientY - start.y };
    item.style.transform = `translate(${offset.x}px, ${offset.y}px)`;
  }

  // The order that was there at first is an answer only if it is meant.
  finish() {
    if (!this.moved && !this.warned) {
      this.warned = true;
      this.say(Study.say('order-as-it-was'));
      return;
    }
    this.answered({ order: this.entries.map((item) => Number(item.dataset.position)) });
  }
}
