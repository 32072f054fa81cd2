"""Profiles: the rules behind all tiers, and labels that endpoints inherit (Calico: Profile)."""

from typing import ClassVar

from pydantic import Field

from policy.resources.fields import Labels
from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.policies import Rules


class ProfileSpec(Model):
    """Rules and inherited labels."""

    ingress: Rules = ()
    egress: Rules = ()
    labels_to_apply: Labels = Field(default_factory=dict)


class Profile(Resource):
    """Rules that an endpoint names itself; without any that match, the next profile is asked."""

    KIND: ClassVar = "Profile"
    IS_NAMESPACED: ClassVar = False

    spec: ProfileSpec = ProfileSpec()
