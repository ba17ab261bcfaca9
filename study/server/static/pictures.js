// Pictures are fetched and decoded before a trial is shown, so that reaction times hold no loading; those of the next
// trials follow while the rater looks. A picture that cannot be had is asked for again.
'use strict';

const TRIALS_AHEAD = 8;
const MOST_TRIES = 6;

Study.Pictures = class {
  constructor(trials) {
    this.trials = trials;
    this.loading = new Map();
  }

  static of(trial) {
    return trial.reference ? [...trial.shown, trial.reference] : trial.shown;
  }

  // Resolves when all pictures of the trial at this place of the list are decoded; then fetches ahead.
  async ready(place, slow) {
    await Promise.all(Study.Pictures.of(this.trials[place]).map((picture) => this.load(picture, slow)));
    this.ahead(place + 1);
  }

  ahead(from) {
    for (const trial of this.trials.slice(from, from + TRIALS_AHEAD)) {
      for (const picture of Study.Pictures.of(trial)) {
        // Its trial will say so if it fails for good.
        this.load(picture, () => {}).catch(() => this.loading.delete(picture.url));
      }
    }
  }

  load(picture, slow) {
    if (!this.loading.has(picture.url)) this.loading.set(picture.url, this.fetch(picture));
    const coming = this.loading.get(picture.url);
    const timer = setTimeout(slow, 300);
    return coming.finally(() => clearTimeout(timer));
  }

  async fetch(picture) {
    for (let tries = 1; ; tries += 1) {
      const image = new Image();
      image.decoding = 'sync';
      image.src = picture.url;
      try {
        await image.decode();
        return image;
      } catch (error) {
        if (tries === MOST_TRIES) {
          this.loading.delete(picture.url);
          throw new Study.Refusal(0, Study.say('picture-failed'), undefined, 0);
        }
        await Study.wakeful(Study.pause(tries, 0));
      }
    }
  }

  // A new element for a decoded picture; the browser has it in memory.
  static element(picture, label) {
    const image = document.createElement('img');
    image.decoding = 'sync';
    image.src = picture.url;
    image.width = picture.width;
    image.height = picture.height;
    image.alt = label;
    image.className = 'face';
    image.draggable = false;
    return image;
  }
};
