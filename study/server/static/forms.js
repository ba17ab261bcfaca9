// The answer forms of three kinds of trial: real or fake, choice of a picture, opinion scores. (Ranking: ranking.js.)
// A form fills the two places of the trial and calls `answered` once, with what the server stores as the answer.
'use strict';

Study.make = function (tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const make = Study.make;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

Study.pictureLabel = (place, count) => (count === 1 ? Study.say('only-face') : Study.say('face', { letter: LETTERS[place] }));

Study.referenceFigure = function (trial) {
  const figure = make('figure', { className: 'reference' }, Study.Pictures.element(trial.reference, Study.say('photograph')));
  figure.append(make('figcaption', { textContent: Study.say('photograph') }));
  return figure;
};

// Keys that mean one answer each; a key that is held down, or belongs to a shortcut, is no answer. The keys of digits
// mean their digit on every keyboard: on some, such as the French, the sign without Shift is another.
Study.onKeys = function (meanings) {
  return (event) => {
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const meaning = meanings[event.key] || (digit && meanings[digit[1]]);
    if (!meaning) return;
    event.preventDefault();
    meaning();
  };
};

Study.forms = {};

Study.forms['real-or-fake'] = function (trial, told, places, answered) {
  const count = trial.shown.length;
  places.stimuli.append(
    ...trial.shown.map((picture, place) => Study.Pictures.element(picture, Study.pictureLabel(place, count))),
  );
  if (trial.reference) places.stimuli.prepend(Study.referenceFigure(trial));
  const keys = {};
  // In this order, whatever the order in which they were told.
  Object.entries({ real: '', fake: '', ...told.labels }).forEach(([value, label], place) => {
    const give = () => answered({ choice: value });
    const button = make('button', { type: 'button', className: 'answer', onclick: give }, make('kbd', { textContent: String(place + 1) }), label);
    button.dataset.value = value;
    places.answers.append(button);
    keys[String(place + 1)] = give;
  });
  return Study.onKeys(keys);
};

Study.forms.choice = function (trial, told, places, answered) {
  const count = trial.shown.length;
  const keys = {};
  places.stimuli.classList.toggle('pair', count === 2);
  if (trial.reference) places.stimuli.append(Study.referenceFigure(trial), make('div', { className: 'break' }));
  trial.shown.forEach((picture, place) => {
    const give = () => answered({ choice: place });
    const label = Study.pictureLabel(place, count);
    const text = make('span', {}, make('kbd', { textContent: String(place + 1) }), label);
    const button = make('button', { type: 'button', className: 'picture-button', onclick: give }, Study.Pictures.element(picture, ''), text);
    button.dataset.value = String(place);
    places.stimuli.append(button);
    keys[String(place + 1)] = give;
  });
  if (count === 2) Object.assign(keys, { ArrowLeft: keys['1'], ArrowRight: keys['2'] });
  return Study.onKeys(keys);
};

function scaleFieldset(scale, changed) {
  const steps = make('div', { className: 'steps' });
  steps.style.setProperty('--count', String(scale.labels.length)); // through the object model, which the policy allows
  scale.labels.forEach((label, step) => {
    const input = make('input', { type: 'radio', name: `scale-${scale.name}`, value: String(step + 1), onchange: changed });
    steps.append(make('label', {}, input, make('b', { textContent: String(step + 1) }), label));
  });
  return make('fieldset', {}, make('legend', { textContent: scale.question }), steps);
}

Study.forms.scales = function (trial, told, places, answered) {
  const pictures = make('div', { className: 'beside' });
  if (trial.reference) pictures.append(Study.referenceFigure(trial));
  const count = trial.shown.length;
  trial.shown.forEach((picture, place) => {
    const image = Study.Pictures.element(picture, Study.pictureLabel(place, count));
    const caption = trial.reference ? [make('figcaption', { textContent: Study.say('to-judge') })] : [];
    pictures.prepend(make('figure', {}, image, ...caption));
  });
  const form = make('form', { id: 'scales' });
  const value = (scale) => new FormData(form).get(`scale-${scale.name}`);
  const missing = () => told.scales.filter((scale) => value(scale) === null);
  const next = make('button', { type: 'submit', textContent: Study.say('next'), className: 'answer', disabled: true });
  const changed = () => {
    next.disabled = missing().length > 0;
  };
  form.append(...told.scales.map((scale) => scaleFieldset(scale, changed)));
  form.onsubmit = (event) => {
    event.preventDefault();
    if (missing().length) return;
    answered({ scores: Object.fromEntries(told.scales.map((scale) => [scale.name, Number(value(scale))])) });
  };
  places.stimuli.classList.add('with-scales');
  places.stimuli.append(pictures, form);
  form.append(make('p', { className: 'go' }, next));
  // A digit answers the first scale that has no answer; Enter goes on when all have one.
  const keys = { Enter: () => form.requestSubmit() };
  for (let digit = 1; digit <= 9; digit += 1) {
    keys[String(digit)] = () => {
      const scale = missing()[0];
      const input = scale && form.querySelector(`input[name="scale-${CSS.escape(scale.name)}"][value="${digit}"]`);
      if (input) input.click();
    };
  }
  const heard = Study.onKeys(keys);
  return (event) => {
    if (event.key === 'Enter' && event.target.tagName === 'BUTTON') return; // the button hears it itself
    heard(event);
  };
};
