"""Policy to nftables: endpoints, policies and sets become chains and sets. Pure."""

from tidegate.render.fragment import ElementChange, TableChange, changed
from tidegate.render.renderer import Renderer, events_of, render_table
from tidegate.render.settings import RenderSettings

__all__ = ["ElementChange", "RenderSettings", "Renderer", "TableChange", "changed", "events_of", "render_table"]
