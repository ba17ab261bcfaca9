// Windows onto pictures of one frame that are zoomed and moved together, down to single pixels.

const MOST_SCALE = 48
const NEAREST_FROM = 2

/** What part of the frame all windows show: `zoom` over the whole frame, the middle as shares of width and height. */
class LinkedView {
  constructor() {
    this.windows = new Set()
    this.changed = () => {}
    this.reset()
  }

  reset() {
    Object.assign(this, { zoom: 1, x: 0.5, y: 0.5 })
    this.apply()
  }

  /** The text that an address keeps; empty for the whole frame. */
  get words() {
    return this.zoom === 1 ? "" : [this.x, this.y, this.zoom].map((one) => one.toFixed(4)).join(",")
  }

  read(words) {
    const [x, y, zoom] = words.split(",").map(Number)
    if (![x, y, zoom].every(Number.isFinite)) return
    Object.assign(this, { x, y, zoom })
    this.apply()
  }

  /** Zoom by `factor`, keeping the point (u, v) of the frame where it is. */
  zoomBy(factor, u = this.x, v = this.y) {
    const one = [...this.windows][0]
    if (!one) return
    const most = MOST_SCALE / (one.fit * devicePixelRatio)
    const least = Math.min(1, 1 / (one.fit * devicePixelRatio))
    const zoom = Math.min(most, Math.max(least, this.zoom * factor))
    const kept = this.zoom / zoom
    Object.assign(this, { zoom, x: u + (this.x - u) * kept, y: v + (this.y - v) * kept })
    this.apply()
  }

  /** One pixel of the picture on one of the screen, or so many. */
  oneToOne(times = 1, u, v) {
    const one = [...this.windows][0]
    if (one) this.zoomBy(times / (one.fit * devicePixelRatio) / this.zoom, u, v)
  }

  apply() {
    this.x = this.zoom <= 1 ? 0.5 : Math.min(1, Math.max(0, this.x))
    this.y = this.zoom <= 1 ? 0.5 : Math.min(1, Math.max(0, this.y))
    for (const one of this.windows) one.place()
    this.changed()
  }

  point(u, v) {
    for (const one of this.windows) one.mark(u, v)
  }
}

/** A window with layers of the size of the frame; layers are pictures or canvases. */
class Pane {
  constructor(view, frame, label) {
    this.view = view
    this.frame = frame
    this.ring = make("i", { class: "ring", hidden: true })
    this.stage = make("div", { class: "stage" })
    this.element = make("div", { class: "window", role: "group", "aria-label": label }, this.stage, this.ring)
    this.pointers = new Map()
    this.watch = new ResizeObserver(() => this.place())
    this.watch.observe(this.element)
    view.windows.add(this)
    this.listen()
  }

  close() {
    this.watch.disconnect()
    this.view.windows.delete(this)
  }

  /** Add a layer on top; `layer.style` is given the frame's size. */
  add(layer) {
    layer.style.width = `${this.frame[0]}px`
    layer.style.height = `${this.frame[1]}px`
    this.stage.append(layer)
    this.place()
    return layer
  }

  get fit() {
    const { clientWidth: width, clientHeight: height } = this.element
    return Math.min(width / this.frame[0], height / this.frame[1]) || 1
  }

  get scale() {
    return this.fit * this.view.zoom
  }

  place() {
    const { clientWidth: width, clientHeight: height } = this.element
    const scale = this.scale
    const left = width / 2 - this.view.x * this.frame[0] * scale
    const top = height / 2 - this.view.y * this.frame[1] * scale
    this.stage.style.transform = `translate(${left}px, ${top}px) scale(${scale})`
    this.stage.classList.toggle("nearest", scale * devicePixelRatio > NEAREST_FROM)
    this.element.style.touchAction = this.view.zoom > 1 ? "none" : "pan-y"
  }

  /** Shares of the frame under a point of the screen. */
  under(event) {
    const box = this.element.getBoundingClientRect()
    const size = [this.frame[0] * this.scale, this.frame[1] * this.scale]
    return [this.view.x + (event.clientX - box.left - box.width / 2) / size[0],
            this.view.y + (event.clientY - box.top - box.height / 2) / size[1]]
  }

  mark(u, v) {
    this.ring.hidden = u === undefined
    if (u === undefined) return
    const { clientWidth: width, clientHeight: height } = this.element
    this.ring.style.left = `${width / 2 + (u - this.view.x) * this.frame[0] * this.scale}px`
    this.ring.style.top = `${height / 2 + (v - this.view.y) * this.frame[1] * this.scale}px`
  }

  listen() {
    const { element, view, pointers } = this
    element.addEventListener("wheel", (event) => {
      event.preventDefault()
      view.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0022)), ...this.under(event))
    }, { passive: false })
    element.addEventListener("dblclick", (event) => {
      if (view.zoom > 1) view.reset()
      else view.oneToOne(2, ...this.under(event))
    })
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId)
      pointers.set(event.pointerId, event)
    })
    element.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId)
      if (!before) return event.pointerType === "mouse" ? view.point(...this.under(event)) : undefined
      const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, one]) => one)
      pointers.set(event.pointerId, event)
      if (others.length) this.pinch(before, event, others[0])
      else if (view.zoom > 1) this.drag(before, event)
    })
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"])
      element.addEventListener(name, (event) => pointers.delete(event.pointerId))
    element.addEventListener("pointerleave", () => view.point())
  }

  drag(before, now) {
    this.view.x -= (now.clientX - before.clientX) / (this.frame[0] * this.scale)
    this.view.y -= (now.clientY - before.clientY) / (this.frame[1] * this.scale)
    this.view.apply()
  }

  pinch(before, now, other) {
    const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1
    const middle = { clientX: (now.clientX + other.clientX) / 2, clientY: (now.clientY + other.clientY) / 2 }
    this.view.zoomBy(apart(now) / apart(before), ...this.under(middle))
  }
}

/** A picture layer: a small copy at once, then every pixel. */
function sharpened(small, full, words) {
  const image = picture({ src: small, alt: words }, words)
  if (full && full !== small) {
    const whole = new Image()
    whole.onload = () => { image.src = full }
    whole.src = full
  }
  return image
}
