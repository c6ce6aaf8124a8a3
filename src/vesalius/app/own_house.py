"""What only this archive itself shows of a simulated day, and the desk that tidies up at its end."""

from __future__ import annotations

from vesalius.app.wiring import Archive
from vesalius.model.errors import VesaliusError
from vesalius.model.orders import By, Images, Item, Order, PerformedStep, ScheduledStep
from vesalius.model.steps import STEP_DONE, STEP_GRID, StepVerb, can
from vesalius.ports.ris import RisView, RisWork
from vesalius.ris import reconcile, schedule

CLEAR = 50  # points: a proposal that the desk follows, where it is the only one so good


class OwnHouse:
    """Looks into the archive of a data directory (`simulate.report.House`)."""

    def __init__(self, archive: Archive, prefix: str) -> None:
        """`prefix`: of the placer order numbers of the day."""
        self._archive = archive
        self._prefix = prefix

    def listed(self) -> dict[str, str]:
        """Studies on the list to reconcile, with what is wrong."""
        found = self._archive.ris.look(lambda view: reconcile.items(view, limit=100_000))
        return {item.study: str(item.trouble) for item in found}

    def missing(self) -> set[str]:
        """Studies of performed steps that are waited for, or known not to be whole."""
        states = (Images.WAITING, Images.MISSING)
        return self._archive.ris.look(
            lambda view: {one.study_uid for state in states for one in view.find(PerformedStep, images=str(state))}
        )

    def open_steps(self) -> dict[str, str]:
        """Placer order number -> state, of the day's steps that are not final."""
        return self._archive.ris.look(
            lambda view: {order.placer.value: str(step.state) for step, order in self._open(view)}
        )

    def tidy(self) -> int:
        """Repair what has one clear proposal, and say who did not come. How many were repaired."""
        repaired = 0
        by = By("desk", self._archive.clock.utc(), "end of the day")
        for item in self._archive.ris.look(lambda view: reconcile.items(view, limit=100_000)):
            repaired += self._repair(item, by)

        def missed(work: RisWork) -> None:
            for step, _ in self._open(work):
                if can(STEP_GRID, step.state, StepVerb.MISS):
                    schedule.advance(work, by, step.ref, StepVerb.MISS)

        self._archive.ris.change(missed)
        return repaired

    def _repair(self, item: Item, by: By) -> bool:
        rules = self._archive.ris_rules
        found = self._archive.ris.look(lambda view: reconcile.proposals(view, item.ref, rules))
        good = [one for one in found if one.score >= CLEAR]
        if not good or (len(good) > 1 and good[1].score == good[0].score):
            return False
        best = good[0]
        try:
            self._archive.ris.change(
                lambda work: reconcile.repair(work, by, item.ref, best.order.ref, rules, procedure=best.procedure.ref)
            )
        except VesaliusError:
            return False
        return True

    def _open(self, view: RisView) -> list[tuple[ScheduledStep, Order]]:
        steps = [step for step in view.find(ScheduledStep) if step.state not in STEP_DONE]
        pairs = [(step, view.get(Order, step.order)) for step in steps]
        return [(step, order) for step, order in pairs if order.placer.value.startswith(self._prefix)]
