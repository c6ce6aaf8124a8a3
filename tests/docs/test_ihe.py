"""What the IHE integration statement claims is tried: every transaction names acceptance tests that are there."""

from __future__ import annotations

import ast

import pytest
from tests.support.data import REPOSITORY

from vesalius.app import ihe

CLAIMED = sorted(
    {
        (one.number, test)
        for found in (*(profile.transactions for profile in ihe.PROFILES), ihe.FURTHER)
        for one in found
        for test in one.tests
    }
    | {(profile.short, test) for profile in ihe.PROFILES for test in profile.tests}
)


@pytest.mark.parametrize(("number", "test"), CLAIMED, ids=[f"{number} {test}" for number, test in CLAIMED])
def test_a_claimed_transaction_has_its_acceptance_test(number: str, test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((REPOSITORY / "tests/acceptance" / file).read_text(encoding="utf-8"))
    there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in there, f"{number}: {file} has no {name}"


def test_every_transaction_is_tested_and_is_one_of_an_actor_of_its_profile() -> None:
    for profile in ihe.PROFILES:
        for one in profile.transactions:
            assert one.tests, one.number
            assert set(one.actors) <= set(profile.actors), (profile.short, one.number)
            assert one.role in ("sends", "receives", "both")
