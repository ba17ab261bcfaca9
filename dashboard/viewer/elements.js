// Elements of the page. Text is set, never parsed: names come from run folders.

/** An element with properties (`on…` listeners, `style` as an object, others as attributes) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one)
    else element.setAttribute(name, value === true ? "" : value)
  }
  element.append(...children.filter((child) => child !== null && child !== undefined))
  return element
}

/** A link that is followed without loading the page anew, unless it is opened elsewhere. */
function linked(href, go, properties, ...children) {
  return make("a", {
    href,
    onclick: (event) => {
      if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
      event.preventDefault()
      go()
    },
    ...properties,
  }, ...children)
}

/** Of a pair of colours the one for the present theme; null without a pair. */
function hue(host, pair) {
  return pair ? pair[isDark(host) ? 1 : 0] : null
}

function isDark(host) {
  const ink = getComputedStyle(host).getPropertyValue("--st-background-color").trim()
  const parts = ink.startsWith("#")
    ? [1, 3, 5].map((at) => parseInt(ink.slice(at, at + 2), 16))
    : (ink.match(/\d+(\.\d+)?/g) ?? [255, 255, 255]).slice(0, 3).map(Number)
  return parts[0] * 0.2126 + parts[1] * 0.7152 + parts[2] * 0.0722 < 128
}

/** Whether an event of the keyboard belongs to something that is typed into or moved by keys. */
function isTyping(event) {
  const first = event.composedPath()[0]
  if (!(first instanceof Element)) return false
  return Boolean(first.closest(
    "input, textarea, select, [contenteditable], [role=combobox], [role=slider], [role=listbox], [role=option], " +
    "[role=tab], [role=menu], [role=grid], [data-testid=stDataFrame], canvas[data-testid=data-grid-canvas]"))
}

/** A picture that says in words why it cannot be shown. */
function picture(properties, words) {
  const image = make("img", { decoding: "async", draggable: "false", ...properties })
  image.addEventListener("error", async () => {
    const told = await fetch(image.currentSrc || image.src).then((answer) => (answer.ok ? "" : answer.text()), () => "")
    const text = told || "this picture cannot be shown: the dashboard does not answer, or the file is damaged."
    image.replaceWith(make("p", { class: "missing", role: "note" }, `${words}: ${text}`))
  }, { once: true })
  return image
}
