// Runs before Streamlit's own code on every page of the dashboard.

// Streamlit looks for its server at the page's address and above it: at /metrics, a request for /metrics/_stcore/health
// fails before the right one is tried. Ours is always at the root.
window.__streamlit = { BACKEND_BASE_URL: location.origin + "/", MAIN_PAGE_BASE_URL: location.origin + "/" }

// What a page writes into its own address while it opens (which run it shows) belongs to the entry of the history that
// is there already; what follows from something that the person did is a new one, to which Back returns.
{
  let touched = false
  for (const sign of ["pointerdown", "keydown", "click", "change"])
    addEventListener(sign, () => { touched = true }, { capture: true, passive: true })
  addEventListener("popstate", () => { touched = false })
  const push = history.pushState.bind(history)
  history.pushState = (state, title, address) => {
    const same = new URL(address ?? location.href, location.href).pathname === location.pathname
    if (same && !touched) return history.replaceState(state, title, address)
    if (!same) touched = false
    return push(state, title, address)
  }
}
