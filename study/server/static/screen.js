// The screen check: what the browser tells of window, zoom and colours, and the size of a pixel after a bank card
// (ISO/IEC 7810 ID-1: 85.60 mm × 53.98 mm).
'use strict';

const CARD_LONG = 85.6;
const CARD_SHORT = 53.98;

Study.Screen = class {
  constructor(find) {
    this.find = find;
    this.slider = find('card-slider');
    this.fits = find('card-fits');
    const update = () => this.show();
    window.addEventListener('resize', update);
    if (this.slider) {
      this.slider.addEventListener('input', () => {
        this.fits.checked = false;
        this.show();
      });
    }
    this.show();
  }

  // Upright where the window is too narrow for a card that lies.
  get upright() {
    return window.innerWidth < 500;
  }

  get pixelsPerMm() {
    if (!this.slider || !this.fits.checked) return null;
    return Number(this.slider.value) / CARD_LONG;
  }

  // Page zoom shows in the ratio of outer to inner width, where the page is not in a frame and has a window of its own;
  // fingers' zoom in the visual viewport.
  get zoom() {
    const pinch = window.visualViewport ? window.visualViewport.scale : 1;
    if (window.top !== window || !window.outerWidth || navigator.maxTouchPoints > 1) return pinch > 1.01 ? pinch : null;
    return Math.round((window.outerWidth / window.innerWidth) * pinch * 100) / 100;
  }

  measure(unsuitable) {
    return {
      viewport_width: Math.round(window.innerWidth),
      viewport_height: Math.round(window.innerHeight),
      screen_width: Math.round(window.screen.width),
      screen_height: Math.round(window.screen.height),
      device_pixel_ratio: window.devicePixelRatio || 1,
      colour_depth: window.screen.colorDepth || 0,
      zoom: this.zoom,
      pixels_per_mm: this.pixelsPerMm,
      framed: window.top !== window,
      touch: navigator.maxTouchPoints > 0,
      unsuitable,
    };
  }

  show() {
    this.find('screen-size').textContent = `${Math.round(window.innerWidth)} × ${Math.round(window.innerHeight)}`;
    this.find('screen-colours').textContent = String(window.screen.colorDepth);
    const zoom = this.find('screen-zoom');
    if (zoom) zoom.textContent = this.zoom === null ? Study.say('zoom-unknown') : `${Math.round(this.zoom * 100)} %`;
    if (!this.slider) return;
    const long = Number(this.slider.value);
    const short = (long * CARD_SHORT) / CARD_LONG;
    const [width, height] = this.upright ? [short, long] : [long, short];
    const outline = this.find('card-outline');
    outline.setAttribute('width', String(width + 2));
    outline.setAttribute('height', String(height + 2));
    outline.firstElementChild.setAttribute('width', String(width));
    outline.firstElementChild.setAttribute('height', String(height));
  }
};
