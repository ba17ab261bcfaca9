// The component: a matrix, or one subject side by side. Streamlit calls it whenever there are new data.

const alive = new WeakMap()

export default function viewer({ data, parentElement, setTriggerValue }) {
  const now = alive.get(parentElement) ?? begun(parentElement)
  now.send = (changes) => setTriggerValue("go", changes)
  now.show(data)
  return () => {
    now.end()
    alive.delete(parentElement)
  }
}

function begun(parent) {
  const host = parent.host ?? parent
  const place = make("div", { class: "viewer" })
  parent.append(place)
  const memory = {}
  const state = { send: () => {}, end: () => {} }
  // Sent anew on every call: what Streamlit handed over last is the one that is heard.
  const go = (changes) => state.send(changes)
  let text = ""
  let beside = null
  let close = () => {}
  let known = null
  const clear = () => {
    close()
    beside?.close()
    beside = null
    close = () => {}
  }
  state.show = (data) => {
    const said = JSON.stringify(data)
    if (said === text) return
    text = said
    known = data
    place.dataset.state = data.state
    if (data.state === "beside") {
      if (!beside) {
        clear()
        beside = new Beside(place, host, go, memory)
      }
      beside.update(data)
    } else {
      clear()
      close = drawMatrix(place, host, data, go, memory)
    }
  }
  // Another theme or another width: the colours of methods and the size of cells follow.
  let width = 0
  const watch = new ResizeObserver(() => {
    const wide = place.clientWidth
    if (known?.state === "matrix" && width && Math.abs(wide - width) > 24) {
      clear()
      close = drawMatrix(place, host, known, go, memory)
    }
    width = wide
  })
  watch.observe(place)
  state.end = () => {
    watch.disconnect()
    clear()
    place.remove()
  }
  alive.set(parent, state)
  return state
}
