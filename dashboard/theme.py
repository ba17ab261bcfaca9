"""How the dashboard looks: colours of the light and the dark theme, as Streamlit's options."""

from __future__ import annotations

from metrics.report.palette import HUES, PAPER


def theme_options() -> dict[str, object]:
    """Options of both themes; categorical chart colours are those of the methods in reports."""
    shared = {
        "theme.baseRadius": "small",
        "theme.baseFontSize": 15,
        "theme.headingFontSizes": ["1.6rem", "1.3rem", "1.1rem", "1rem", "0.9rem", "0.85rem"],
        "theme.headingFontWeights": [600, 600, 600, 600, 600, 600],
        "theme.showWidgetBorder": True,
    }
    options: dict[str, object] = dict(shared)
    for index, (name, ink, card, link, border) in enumerate(
        (("light", "#101317", "#f3f5f7", "#0b57a4", "#d9dde1"), ("dark", "#e8eaed", "#1d2125", "#8ec5ff", "#3a4147"))
    ):
        options |= {
            # Text on it is white, whatever the theme.
            f"theme.{name}.primaryColor": ("#0b57a4", "#3579b8")[index],
            f"theme.{name}.backgroundColor": PAPER[index],
            f"theme.{name}.secondaryBackgroundColor": card,
            f"theme.{name}.textColor": ink,
            f"theme.{name}.linkColor": link,
            f"theme.{name}.borderColor": border,
            f"theme.{name}.chartCategoricalColors": [hue[index] for hue in HUES],
        }
    return options
