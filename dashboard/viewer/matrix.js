// The matrix: rows are subjects, columns the photograph and the methods.

const LEAST_CELL = 104
const MOST_CELL = 216
const FIRST_COLUMN = 74

// So many rows below the first screen are drawn with it; the others come when the page has been shown.
const ROWS_AHEAD = 2

/** Draw the matrix into `place`. `memory` outlives it: where it was scrolled to, who was looked at. */
function drawMatrix(place, host, data, go, memory) {
  const first = firstColumn(data.rows)
  const width = cellWidth(place, first, data.columns.length + 1)
  const row = (one) => bodyRow(one, data, width, (changes) => {
    memory.scrolled = scroller.scrollTop
    go(changes)
  })
  const body = make("tbody", {})
  const column = (wide) => make("col", { style: { width: `${wide}px` } })
  // Of a table whose columns have widths the browser need not measure every cell before it shows one.
  const table = make("table", { class: "matrix", style: { "--cell": `${width}px`, width: `${first + (data.columns.length + 1) * (width + 8)}px` } },
    make("caption", { class: "unseen" }, "Subjects and the pictures that each method made of them"),
    make("colgroup", {}, column(first), ...Array.from({ length: data.columns.length + 1 }, () => column(width + 8))),
    make("thead", {}, make("tr", {},
      make("th", { scope: "col" }, "subject"), make("th", { scope: "col" }, "photograph"),
      ...data.columns.map((one) => headCell(host, one, go)))),
    body)
  const scroller = make("div", { class: "scroller", tabindex: "-1" }, table)
  // Measured before anything is changed, and once more when all stands: in between, measuring lays everything out.
  let room = roomBelow(memory.top ?? place.getBoundingClientRect().top + 40)
  scroller.style.maxHeight = `${room}px`
  const back = memory.scrolled !== undefined && memory.page === data.page ? memory.scrolled : 0
  const least = data.rows.length ? Math.max(1, Math.min(...data.rows.slice(0, 8).map((one) => (width * one.frame[1]) / one.frame[0]))) : 1
  const seen = back ? data.rows.length : Math.ceil(room / least) + ROWS_AHEAD
  body.append(...data.rows.slice(0, seen).map(row))
  place.replaceChildren(matrixBar(data, go), scroller)
  arrowKeys(table, memory.subject)
  const fill = () => {
    memory.top = scroller.getBoundingClientRect().top
    if (roomBelow(memory.top) === room) return
    room = roomBelow(memory.top)
    scroller.style.maxHeight = `${room}px`
  }
  const later = requestAnimationFrame(() => setTimeout(() => {
    if (!scroller.isConnected) return
    fill()
    body.append(...data.rows.slice(seen).map(row))
  }))
  addEventListener("resize", fill)
  if (back) scroller.scrollTop = back
  memory.page = data.page
  return () => {
    cancelAnimationFrame(later)
    removeEventListener("resize", fill)
  }
}

function roomBelow(top) {
  return Math.max(380, Math.round(innerHeight - top - 20))
}

/** Width of the column of names: the longest one, as far as it stays narrow; longer names are broken. */
function firstColumn(rows) {
  return Math.round(Math.min(128, Math.max(FIRST_COLUMN, ...rows.map((row) => row.subject.length * 8.5 + 16))))
}

function cellWidth(place, first, columns) {
  const room = (place.clientWidth || 1200) - first - 14
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
  const rows = () => [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("a.cell")])
  const drawn = rows()
  if (!drawn.length || !drawn[0].length) return
  const known = drawn.findIndex((row) => row[0].dataset.subject === subject)
  drawn[Math.max(0, known)][0].tabIndex = 0
  table.addEventListener("keydown", (event) => {
    const now = event.target.closest?.("a.cell")
    if (!now || event.ctrlKey || event.metaKey || event.altKey) return
    const links = rows()
    const row = links.findIndex((one) => one.includes(now))
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
