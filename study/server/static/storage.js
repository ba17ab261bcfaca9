// What the page keeps on this device: in localStorage where the browser allows it (a sandboxed frame may forbid it),
// else in memory, which a reload loses. Nothing here tells who the rater is.
'use strict';

Study.makeStorage = function (prefix) {
  let box = null;
  try {
    const probe = `${prefix} probe`;
    window.localStorage.setItem(probe, '1');
    window.localStorage.removeItem(probe);
    box = window.localStorage;
  } catch (error) {
    box = null; // SecurityError: forbidden here. `lasting` says so, and the page tells the rater.
  }
  const memory = new Map();
  const name = (key) => `${prefix} ${key}`;
  return {
    lasting: box !== null,
    get(key) {
      if (memory.has(key)) return memory.get(key);
      const text = box === null ? null : box.getItem(name(key));
      if (text === null) return null;
      try {
        return JSON.parse(text);
      } catch (error) {
        return null; // written by another program: as good as absent
      }
    },
    // Whether it will outlive the page: memory holds it in any case, also where the device's storage is full.
    set(key, value) {
      memory.set(key, value);
      if (box === null) return false;
      try {
        box.setItem(name(key), JSON.stringify(value));
        return true;
      } catch (error) {
        return false; // QuotaExceededError
      }
    },
    remove(key) {
      memory.delete(key);
      if (box !== null) box.removeItem(name(key));
    },
  };
};

// crypto.randomUUID exists on secure origins alone; a lab's own network may have none. RFC 9562, version 4.
Study.makeUuid = function () {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
};
