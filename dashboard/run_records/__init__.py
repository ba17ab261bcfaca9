"""Parts of the page *Runs*: what a run holds, how it was made, how long it took, what failed, whose faces it used."""
