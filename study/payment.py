"""``payment`` in the study file: what raters are paid, through whom, and what it may cost at most."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from study.study_block import Block, Cents, Short, wrong

_OPTIONS: dict[str, dict[str, type]] = {
    "local": {},
    "mturk": {"qualifications": list, "keywords": str, "frame_height": int, "auto_approval_days": int},
}
"""With their kinds. Of Prolific, its own interface says what it takes."""

_KINDS = {list: "a list", str: "a text", int: "a whole number"}


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
        "device_compatibility …); of Mechanical Turk qualifications, keywords, frame_height, auto_approval_days.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> PaymentBlock:
        if self.screen_out and self.provider != "prolific":
            raise wrong("payment.screen_out", f"'{self.provider}' pays nobody whose screen will not do: take it out")
        if bool(self.screen_out) != bool(self.screen_out_raters):
            raise wrong("payment.screen_out", "screen_out and screen_out_raters go together: give both or neither")
        self._check_options()
        return self

    def _check_options(self) -> None:
        known = _OPTIONS.get(self.provider)
        for name, value in self.options.items() if known is not None else ():
            at, kind = f"payment.options.{name}", (known or {}).get(name)
            if kind is None:
                has = f"has {', '.join(known)}" if known else "has none"
                raise wrong(at, f"'{self.provider}' has no option '{name}': it {has}")
            if type(value) is not kind:
                raise wrong(at, f"the option '{name}' of '{self.provider}' must be {_KINDS[kind]}")
