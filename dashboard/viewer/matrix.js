// The matrix: rows are subjects, columns the photograph and the methods.

const LEAST_CELL = 104
const MOST_CELL = 216
const FIRST_COLUMN = 74

/** Draw the matrix into `place`. `memory` outlives it: where it was scrolled to, who was looked at. */
function drawMatrix(place, host, data, go, memory) {
  const width = cellWidth(place, data.columns.length + 1)
  const table = make("table", { class: "matrix", style: { "--cell": `${width}px` } },
    make("caption", { class: "unseen" }, "Subjects and the pictures that each method made of them"),
    make("thead", {}, make("tr", {},
      make("th", { scope: "col" }, "subject"), make("th", { scope: "col" }, "photograph"),
      ...data.columns.map((column) => headCell(host, column, go)))),
    make("tbody", {}, ...data.rows.map((row) => bodyRow(row, data, width, (changes) => {
      memory.scrolled = scroller.scrollTop
      go(changes)
    }))))
  const scroller = make("div", { class: "scroller", tabindex: "-1" }, table)
  place.replaceChildren(matrixBar(data, go), scroller)
  arrowKeys(table, memory.subject)
  const fill = () => {
    const room = innerHeight - scroller.getBoundingClientRect().top - 20
    scroller.style.maxHeight = `${Math.max(380, room)}px`
  }
  fill()
  addEventListener("resize", fill)
  if (memory.scrolled !== undefined && memory.page === data.page) scroller.scrollTop = memory.scrolled
  memory.page = data.page
  return () => removeEventListener("resize", fill)
}

function cellWidth(place, columns) {
  const room = (place.clientWidth || 1200) - FIRST_COLUMN - 14
  return Math.round(Math.min(MOST_CELL, Math.max(LEAST_CELL, room / columns - 9)))
}

function matrixBar(data, go) {
  const last = data.first + data.rows.length
  const turn = (page, words, sign) => page
    ? linked(page.href, () => go({ page: page.page === "1" ? "" : page.page }), { class: "button", "aria-label": words }, sign)
    : make("span", { class: "button off", "aria-hidden": "true" }, sign)
  return make("div", { class: "bar" },
    make("b", {}, data.note),
    make("span", { class: "grow quiet" }, data.blind
      ? "Blind: letters stand for methods, and mean another one in every row."
      : data.metric ? `Below each picture ${data.metric}, and its rank for this subject.` : "Not measured yet."),
    ...(data.last
      ? [make("span", { class: "quiet" }, `${data.first + 1}–${last} of ${data.total}`),
         turn(data.pages[0], "previous page", "‹"), turn(data.pages[1], "next page", "›")]
      : []))
}

function headCell(host, column, go) {
  const mark = column.colour ? make("i", { class: "swatch", style: { background: hue(host, column.colour) } }) : null
  const sorted = column.sorted ? make("span", { class: "quiet" }, `${column.sorted} first`) : null
  const inside = column.href
    ? linked(column.href, () => go({ order: column.order, page: "" }), {
      title: `order by this method: ${column.order.split(":")[0]} first`,
    }, mark, column.name)
    : make("span", {}, mark, column.name)
  return make("th", { scope: "col", "aria-sort": column.sorted ? "other" : undefined }, inside, sorted)
}

function bodyRow(row, data, width, go) {
  const high = (frame) => Math.round((width * frame[1]) / frame[0])
  const cell = (one, name, href, changes, ...caption) => make("td", {},
    linked(href, () => go(changes), { class: "cell", tabindex: "-1", "data-subject": row.subject,
                                      "aria-label": `${name}, subject ${row.subject}` },
      one.src
        ? picture({ loading: "lazy", src: one.src, srcset: widths(one.src), alt: "", width,
                    height: high(one.frame ?? row.frame), sizes: `${width}px` }, name)
        : make("span", { class: "missing", style: { width: `${width}px`, "min-height": `${Math.min(high(row.frame), width)}px` } },
          one.missing),
      caption.some(Boolean) ? make("span", { class: "caption" }, ...caption) : null))
  return make("tr", {},
    make("th", { scope: "row" }, linked(row.href, () => go(row.go), { tabindex: "-1" }, row.subject)),
    cell(row.photograph, "photograph", row.href, row.go),
    ...row.cells.map((one, index) => cell(one, data.columns[index].name, one.href, one.go, ...value(one))))
}

function value(cell) {
  if (!cell.value) return []
  const rank = cell.rank === 1
    ? make("b", { class: "best" }, "best")
    : cell.rank ? make("span", { class: "quiet" }, `${cell.rank} of ${cell.of}`) : null
  return [make("span", {}, cell.value), rank]
}

function widths(address) {
  const stem = address.slice(0, address.lastIndexOf("/"))
  return [160, 320, 640].map((width) => `${stem}/${width} ${width}w`).join(", ")
}

/** Arrows move between cells, Home and End within a row, Enter opens (it is a link). One cell is in the tab order. */
function arrowKeys(table, subject) {
  const links = [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("a.cell")])
  if (!links.length || !links[0].length) return
  const known = links.findIndex((row) => row[0].dataset.subject === subject)
  const first = links[Math.max(0, known)][0]
  first.tabIndex = 0
  table.addEventListener("keydown", (event) => {
    const now = event.target.closest?.("a.cell")
    const row = links.findIndex((one) => one.includes(now))
    if (row < 0 || event.ctrlKey || event.metaKey || event.altKey) return
    const column = links[row].indexOf(now)
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
                   Home: [0, -column], End: [0, links[row].length - 1 - column] }[event.key]
    if (!step) return
    event.preventDefault()
    const next = links[row + step[0]]?.[column + step[1]]
    if (!next) return
    now.tabIndex = -1
    next.tabIndex = 0
    next.focus({ preventScroll: true })
    next.scrollIntoView({ block: "nearest", inline: "nearest" })
  })
}
