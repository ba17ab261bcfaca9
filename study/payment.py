"""``payment`` in the study file: what raters are paid, through whom, and what it may cost at most."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from study.study_block import Block, Cents, Short, wrong

_OPTIONS = {"local": (), "mturk": ("qualifications", "frame_height")}
"""Of Prolific, its own interface says what it takes."""


class PaymentBlock(Block):
    """What raters are paid, through whom, and what it may cost at most."""

    provider: Short = Field(default="local", description="Marketplace: local (a link or a kiosk), prolific, mturk.")
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(
        default="USD", description="Three capital letters, as in ISO 4217."
    )
    reward: Cents = Field(description="To each rater, in minor units: 250 is 2.50.")
    bonus: Cents = Field(default=0, description="Set aside for bonuses, a rater, in minor units.")
    cap: Cents = Field(description="Nothing that costs is done beyond this total, fees included, in minor units.")
    account: Literal["academic", "corporate"] = Field(default="academic", description="Prolific's fee depends on it.")
    tax_on_fee: float = Field(
        default=0, ge=0, le=100, description="Per cent of tax on the marketplace's fee, where it is charged."
    )
    screen_out: Cents = Field(
        default=0,
        description="To each rater of Prolific whose screen will not do; 0: Prolific asks them to return the place.",
    )
    screen_out_raters: int = Field(default=0, ge=0, le=100_000, description="How many of these are paid at most.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Given to the marketplace as they are: Prolific's further fields of a study (filters, "
        "device_compatibility …); of Mechanical Turk qualifications and frame_height.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> PaymentBlock:
        if self.screen_out and self.provider != "prolific":
            raise wrong("payment.screen_out", f"'{self.provider}' pays nobody whose screen will not do: take it out")
        if bool(self.screen_out) != bool(self.screen_out_raters):
            raise wrong("payment.screen_out", "screen_out and screen_out_raters go together: give both or neither")
        known = _OPTIONS.get(self.provider)
        strange = [name for name in self.options if known is not None and name not in known]
        if strange:
            has = f"has {' and '.join(known)}" if known else "has none"
            raise wrong(f"payment.options.{strange[0]}", f"'{self.provider}' has no option '{strange[0]}': it {has}")
        return self
