// One subject: the photograph and some methods side by side, in six ways of looking, all zoomed and moved together.

const LOOKS = [
  ["pictures", "Pictures"], ["swipe", "Swipe"], ["difference", "Difference"], ["flip", "FLIP"], ["albedo", "Albedo"],
  ["head", "Head"],
]
const CAPTION = 30
const FLICKER_MILLISECONDS = 420 // below three flashes a second
const MASKS = [["dim", "dimmed outside the mask"], ["outline", "outline of the mask"], ["none", "without the mask"]]

/** Draws into `place` and answers to keys until it is closed; `memory` outlives a change of subject. */
class Beside {
  constructor(place, host, go, memory) {
    Object.assign(this, { place, host, go, memory, panes: [], open: [] })
    memory.view ??= new LinkedView()
    memory.view.changed = () => this.showZoom()
    memory.swipe ??= { left: 0, right: 1, at: 0.5 }
    memory.mask ??= "dim"
    this.keys = (event) => this.key(event)
    document.addEventListener("keydown", this.keys)
  }

  close() {
    document.removeEventListener("keydown", this.keys)
    clearInterval(this.flickering)
    clearTimeout(this.soon)
    this.clear()
  }

  clear() {
    for (const one of this.open) one.close()
    this.open = []
    this.layers = []
  }

  /** Show `data`; what is on the page already stays as it is. */
  update(data) {
    if (data.mode !== this.told) this.mode = data.mode
    this.told = data.mode
    const first = !this.data
    const same = !first && shape(data) === shape(this.data) && this.mode === this.drawn
    this.data = data
    if (first && data.at) this.memory.view.read(data.at)
    if (!same) this.draw()
    else this.place.children[0].replaceWith(this.navigation())
    this.ahead()
  }

  draw() {
    this.clear()
    this.stopFlicker()
    this.drawn = this.mode
    const { data } = this
    this.memory.subject = data.subject
    this.place.replaceChildren(this.navigation(), this.tools(), this.windows(), this.legend(), keysHelp())
    this.fill()
    for (const one of this.open) one.place?.()
    this.showZoom()
  }

  /** Pictures are as high as the screen has room for, so that all of them are seen at once. */
  fill() {
    const box = this.place.children[2]
    const top = Math.min(420, Math.max(160, box.getBoundingClientRect().top))
    const rows = box.children.length / (Number(box.style.getPropertyValue("--columns")) || box.children.length)
    const room = (innerHeight - top - 24) / Math.ceil(rows) - CAPTION
    this.place.style.setProperty("--room", `${Math.max(220, Math.round(room))}px`)
  }

  /** The pictures of those who come before and after, while there is nothing else to do. */
  ahead() {
    clearTimeout(this.soon)
    this.soon = setTimeout(() => {
      for (const one of [this.data.next, this.data.previous])
        for (const address of one?.soon ?? []) new Image().src = address
    }, 500)
  }

  navigation() {
    const { data } = this
    const step = (one, words, sign) => one
      ? linked(one.href, () => this.move(one), { class: "button", "aria-label": `${words}: ${one.subject}` }, sign)
      : make("span", { class: "button off", "aria-hidden": "true" }, sign)
    const position = data.position
      ? `${data.position} of ${data.total} in this order` : "left out by the filters; the order has others"
    return make("div", { class: "bar" },
      linked(data.back.href, () => this.leave(), { class: "button" }, "← All subjects"),
      step(data.previous, "previous subject", "‹"),
      make("b", { class: "subject" }, data.subject),
      step(data.next, "next subject", "›"),
      make("span", { class: "quiet grow" }, position),
      make("span", { class: "quiet" }, data.metric))
  }

  tools() {
    const button = (words, label, action, more = {}) =>
      make("button", { type: "button", class: "button", title: label, "aria-label": label, onclick: action, ...more }, words)
    const looks = make("div", { class: "segments", role: "group", "aria-label": "way of looking" },
      ...LOOKS.map(([mode, words], index) => make("button", {
        type: "button", "aria-pressed": String(mode === this.mode), title: `key ${index + 1}`,
        onclick: () => this.look(mode),
      }, words)))
    const own = []
    if (this.mode === "head") own.push(...this.headTools(button))
    else {
      this.zoomed = make("output", { class: "zoom", "aria-label": "zoom" })
      own.push(
        button("−", "zoom out (−)", () => this.view.zoomBy(1 / 1.5)), this.zoomed,
        button("+", "zoom in (+)", () => this.view.zoomBy(1.5)),
        button("Fit", "the whole picture (0)", () => this.view.reset()),
        button("1:1", "one pixel on one pixel (1 : 1 with key =)", () => this.view.oneToOne()))
      if (this.mode === "pictures" || this.mode === "swipe") {
        this.flicker = button("Flicker", "alternate with the photograph (F)", () => this.toggleFlicker(),
          { "aria-pressed": "false" })
        own.push(this.flicker)
      }
      if (this.mode === "swipe") own.push(...this.swipeTools())
      if (this.mode === "albedo") own.push(chooser("mask", MASKS, this.memory.mask, (value) => {
        this.memory.mask = value
        this.draw()
      }))
    }
    own.push(button("Copy link", "copy the address of this very view", () => this.copy()))
    return make("div", { class: "bar" }, looks, make("span", { class: "grow" }), ...own)
  }

  get view() {
    return this.memory.view
  }

  look(mode) {
    if (mode === this.mode) return
    this.mode = mode
    this.draw()
    this.go({ mode: mode === "pictures" ? "" : mode })
  }

  move(one) {
    if (one) this.go({ subject: one.subject, revealed: "", at: "" })
  }

  leave() {
    this.go({ subject: "", revealed: "", at: "", mode: "" })
  }

  showZoom() {
    const one = [...this.view.windows][0]
    if (this.zoomed && one) this.zoomed.textContent = `${Math.round(one.scale * devicePixelRatio * 100)} %`
  }

  async copy() {
    const address = new URL(this.data.link, document.baseURI)
    if (this.view.words && this.mode !== "head") address.searchParams.set("at", this.view.words)
    const field = make("input", { class: "address", readonly: true, "aria-label": "address of this view", value: address.href })
    this.place.querySelector(".address")?.remove()
    this.place.children[1].after(field)
    field.select()
    await navigator.clipboard?.writeText(address.href).then(() => field.classList.add("copied"), () => {})
  }

  windows() {
    if (this.mode === "swipe") return this.swipe()
    const shown = this.mode === "pictures" ? this.data.panes
      : this.data.panes.filter((pane) => pane.role === "method" || (pane.role === "photograph" && this.mode !== "albedo" && this.mode !== "head"))
    const frame = this.mode === "albedo" || this.mode === "head" ? [1, 1] : this.data.frame
    const columns = columnsFor(shown.length, frame, this.place.clientWidth)
    const grid = make("div", { class: "grid", style: { "--columns": columns, "--shape": `${frame[0]} / ${frame[1]}` } })
    for (const pane of shown) grid.append(this.figure(pane))
    return grid
  }

  figure(pane) {
    return make("figure", {},
      make("figcaption", {},
        pane.colour ? make("i", { class: "swatch", style: { background: hue(this.host, pane.colour) } }) : null,
        make("b", {}, pane.name), make("span", { class: "quiet" }, pane.value ?? "")),
      this.window(pane))
  }

  window(pane) {
    const label = `${pane.name}, subject ${this.data.subject}`
    if (this.mode === "head") return this.headWindow(pane, label)
    if (this.mode === "albedo") return this.albedoWindow(pane, label)
    const mapped = (this.mode === "difference" || this.mode === "flip") && pane.role === "method"
    const missing = mapped ? pane.maps[this.mode].missing : pane.missing
    if (missing) return absent(missing)
    const one = this.opened(this.data.frame, label)
    if (mapped) one.add(this.waiting(one, picture({ src: pane.maps[this.mode].src, alt: `${this.mode} of ${label}` }, label)))
    else {
      const own = one.add(sharpened(pane.preview, pane.full, label))
      if (this.mode === "pictures" && pane.role === "method") this.over(one, own)
    }
    return one.element
  }

  opened(frame, label) {
    const one = new Pane(this.view, frame, label)
    this.open.push(one)
    return one
  }

  /** The photograph above a method's picture, hidden until it flickers. */
  over(one, own) {
    const photograph = this.data.panes[0]
    if (photograph.missing || this.data.view.split("/").at(-1) !== "fitted") return
    const layer = one.add(sharpened(photograph.preview, photograph.full, ""))
    layer.hidden = true
    this.layers.push(layer)
  }

  waiting(one, image) {
    const note = make("p", { class: "note" }, "being computed …")
    one.element.append(note)
    for (const sign of ["load", "error"]) image.addEventListener(sign, () => note.remove())
    return image
  }

  albedoWindow(pane, label) {
    const { albedo, mask } = pane.maps
    if (albedo.missing) return absent(albedo.missing)
    const one = this.opened(this.data.map, `albedo of ${label}`)
    one.add(picture({ src: albedo.src, alt: `albedo of ${label}` }, label))
    if (!mask.missing && this.memory.mask !== "none") {
      const layer = one.add(make("canvas", { "aria-hidden": "true" }))
      drawMask(layer, mask.src, this.memory.mask, getComputedStyle(this.host).getPropertyValue("--st-background-color"))
    }
    return one.element
  }

  headWindow(pane, label) {
    if (pane.maps.head.missing) return absent(pane.maps.head.missing)
    this.memory.heads ??= new Heads()
    if (!this.memory.heads.works) return absent("this browser shows no WebGL 2, which heads are drawn with: try another.")
    const one = new HeadView(this.memory.heads, pane.maps.head.src, `head of ${label}`)
    this.open.push(one)
    return one.element
  }

  headTools(button) {
    const heads = (this.memory.heads ??= new Heads())
    const slider = (words, name, low, high) => {
      const input = make("input", { type: "range", min: low, max: high, step: 1, "aria-label": words, oninput: () => {
        heads.light[name] = Number(input.value)
        heads.redraw()
      } })
      input.value = heads.light[name]
      return [make("label", { class: "slide" }, words, input), input]
    }
    const [azimuth, first] = slider("light ↔", "azimuth", -180, 180)
    const [elevation, second] = slider("light ↕", "elevation", -90, 90)
    heads.changed = () => {
      first.value = heads.light.azimuth
      second.value = heads.light.elevation
    }
    const shadings = [["textured", "textured"], ["grey", "grey"], ["wireframe", "wireframe"]]
    return [azimuth, elevation, button("Front", "look from the front (0)", () => heads.front()),
            chooser("surface", shadings, heads.shading, (value) => {
              heads.shading = value
              heads.redraw()
            })]
  }

  swipeTools() {
    const { memory, data } = this
    const options = data.panes.map((pane, index) => [String(index), pane.name])
    memory.swipe.left = Math.min(memory.swipe.left, options.length - 1)
    memory.swipe.right = Math.min(memory.swipe.right, options.length - 1)
    return ["left", "right"].map((side) => chooser(side, options, String(memory.swipe[side]), (value) => {
      memory.swipe[side] = Number(value)
      this.draw()
    }))
  }

  swipe() {
    const { data, memory } = this
    const pair = [data.panes[memory.swipe.left], data.panes[memory.swipe.right]]
    const bad = pair.find((pane) => pane.missing)
    if (bad) return absent(`${bad.name}: ${bad.missing}`)
    const [lower, upper] = pair.map((pane) => this.opened(data.frame, `${pane.name}, subject ${data.subject}`))
    lower.add(sharpened(pair[0].preview, pair[0].full, pair[0].name))
    upper.add(sharpened(pair[1].preview, pair[1].full, pair[1].name))
    this.layers.push(upper.element)
    const handle = make("div", { class: "handle", role: "slider", tabindex: "0", "aria-valuemin": 0, "aria-valuemax": 100,
                                 "aria-label": `where ${pair[0].name} ends and ${pair[1].name} begins` })
    const move = (at) => {
      memory.swipe.at = Math.min(1, Math.max(0, at))
      handle.style.left = `${memory.swipe.at * 100}%`
      upper.element.style.clipPath = `inset(0 0 0 ${memory.swipe.at * 100}%)`
      handle.setAttribute("aria-valuenow", Math.round(memory.swipe.at * 100))
    }
    const box = make("div", { class: "swipe", style: { "--shape": `${data.frame[0]} / ${data.frame[1]}` } },
      lower.element, upper.element, handle,
      make("span", { class: "side left" }, pair[0].name), make("span", { class: "side right" }, pair[1].name))
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault()
      handle.setPointerCapture(event.pointerId)
      handle.focus()
    })
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return
      const frame = box.getBoundingClientRect()
      move((event.clientX - frame.left) / frame.width)
    })
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key]
      if (step) {
        event.preventDefault()
        event.stopPropagation()
        move(memory.swipe.at + step)
      }
    })
    move(memory.swipe.at)
    return box
  }

  legend() {
    const scale = this.data.scales[this.mode]
    if (!scale) return make("span", { hidden: true })
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
      const number = +(share * scale.top).toPrecision(3)
      return make("span", {}, share === 1 ? `≥ ${number} ${scale.unit}` : String(number))
    })
    const rim = this.mode === "flip" ? " FLIP looks ten pixels around each pixel: a rim of the skin has no value." : ""
    return make("div", { class: "legend" },
      make("i", { style: { background: `linear-gradient(to right, ${this.data.stops.join(", ")})` } }),
      make("div", { class: "ticks" }, ...ticks),
      make("p", { class: "quiet" }, `${scale.name} from the photograph, inside the judged skin; grey is not judged.${rim}`))
  }

  toggleFlicker() {
    if (this.flickering) return this.stopFlicker()
    if (!this.layers.length) return
    this.flicker?.setAttribute("aria-pressed", "true")
    const turn = () => { for (const layer of this.layers) layer.hidden = !layer.hidden }
    turn()
    this.flickering = setInterval(turn, FLICKER_MILLISECONDS)
  }

  stopFlicker() {
    clearInterval(this.flickering)
    this.flickering = undefined
    this.flicker?.setAttribute("aria-pressed", "false")
    for (const layer of this.layers ?? []) layer.hidden = layer.tagName === "IMG"
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return
    const head = this.mode === "head"
    const number = Number(event.key)
    const pan = 0.08 / this.view.zoom
    const actions = {
      ArrowLeft: () => (event.shiftKey ? this.pan(-pan, 0) : this.move(this.data.previous)),
      ArrowRight: () => (event.shiftKey ? this.pan(pan, 0) : this.move(this.data.next)),
      ArrowUp: event.shiftKey ? () => this.pan(0, -pan) : undefined,
      ArrowDown: event.shiftKey ? () => this.pan(0, pan) : undefined,
      "+": () => (head ? this.memory.heads.nearer(1 / 1.2) : this.view.zoomBy(1.5)),
      "-": () => (head ? this.memory.heads.nearer(1.2) : this.view.zoomBy(1 / 1.5)),
      "=": () => this.view.oneToOne(),
      0: () => (head ? this.memory.heads.front() : this.view.reset()),
      f: () => this.toggleFlicker(),
      F: () => this.toggleFlicker(),
      Escape: () => this.leave(),
    }
    const action = actions[event.key] ?? (number >= 1 && number <= LOOKS.length ? () => this.look(LOOKS[number - 1][0]) : undefined)
    if (!action) return
    event.preventDefault()
    action()
  }

  pan(x, y) {
    if (this.mode === "head") return this.memory.heads.turn(x * 4, y * 4)
    this.view.x += x
    this.view.y += y
    this.view.apply()
  }
}

/** What of the data is drawn: two alike need no new elements but the links, whose addresses name the way of looking. */
function shape(data) {
  return JSON.stringify({ ...data, mode: "", at: "", link: "" }, (name, value) => (name === "href" ? "" : value))
}

/** How many columns make the pictures largest in the room that a screen has. */
function columnsFor(count, frame, width) {
  if (width < 600) return Math.min(2, count)
  const room = Math.max(420, innerHeight - 290)
  let [best, widest] = [1, 0]
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns)
    const size = Math.min(width / columns - 8, (room / rows - CAPTION) * (frame[0] / frame[1]))
    // Of equally large ones the flatter arrangement: more of the page is seen below it.
    if (size > widest * 0.97) [best, widest] = [columns, Math.max(size, widest)]
  }
  return best
}

function chooser(label, options, chosen, change) {
  const select = make("select", { "aria-label": label, onchange: () => change(select.value) },
    ...options.map(([value, words]) => make("option", { value, selected: value === chosen }, words)))
  return select
}

function absent(words) {
  return make("div", { class: "window empty" }, make("p", { class: "missing", role: "note" }, words))
}

/** What the mask leaves out, dimmed, or the mask's edge, drawn over a map. */
async function drawMask(canvas, address, kind, paper) {
  const image = new Image()
  image.src = address
  await image.decode().catch(() => {})
  const { naturalWidth: width, naturalHeight: height } = image
  if (!width) return
  Object.assign(canvas, { width, height })
  const context = canvas.getContext("2d", { willReadFrequently: true })
  context.drawImage(image, 0, 0)
  const pixels = context.getImageData(0, 0, width, height)
  const inside = (x, y) => pixels.data[4 * (Math.min(height - 1, Math.max(0, y)) * width + Math.min(width - 1, Math.max(0, x)))] > 127
  const drawn = context.createImageData(width, height)
  context.fillStyle = paper.trim() || "#fff"
  context.fillRect(0, 0, 1, 1)
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const here = inside(x, y)
      const edge = kind === "outline" && here !== (inside(x + 1, y) && inside(x, y + 1) && inside(x - 1, y) && inside(x, y - 1) && here)
      const colour = kind === "outline" ? (edge ? [0, 229, 255, 255] : null) : here ? null : [red, green, blue, 190]
      if (colour) drawn.data.set(colour, 4 * (y * width + x))
    }
  context.putImageData(drawn, 0, 0)
}

function keysHelp() {
  return make("p", { class: "quiet keys" },
    "Wheel, pinch or + and − zoom, drag or Shift with arrows moves, 0 shows all, = is 1:1. ← → other subjects, 1–6 ways of " +
    "looking, F flickers, Escape goes back. Heads: drag turns, Shift-drag moves the light.")
}
