"""Profiles: the rules behind all tiers, and labels that endpoints inherit (Calico: Profile)."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.rule import Rule


class ProfileSpec(Model):
    """Rules and inherited labels."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    labels_to_apply: Mapping[str, str] = Field(default_factory=dict)


class Profile(Resource):
    """Rules that an endpoint names itself."""

    KIND: ClassVar = "Profile"
    IS_NAMESPACED: ClassVar = False

    spec: ProfileSpec = ProfileSpec()
