"""Charts of the pages, as Vega-Lite through Altair: one shape a module, fed with what ``metrics`` concluded."""
