"""Settings that are read, changed and copied as those of scikit-learn's estimators are, without needing it."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, TypeVar

from .shown import call, card

Self = TypeVar("Self", bound="Parameters")


class Setting:
    """An attribute that holds a setting. Assigning to it later is ``set_params``: what is wrong is refused, and what is
    derived from it follows. There is no ``__get__``: it is read as any other attribute."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __set__(self, holder: Parameters, value: Any) -> None:
        if self.name in vars(holder):
            holder.set_params(**{self.name: value})
        else:
            vars(holder)[self.name] = value


class Fixed(Setting):
    """One that cannot be assigned to: what was decided with it stands."""

    def __set__(self, holder: Any, value: Any) -> None:
        if self.name in vars(holder):
            kind = type(holder).__name__
            raise AttributeError(
                f"{self.name}: a setting of a {kind} stays as it is; make a new {kind}({self.name}=...)"
            )
        vars(holder)[self.name] = value


Kind = TypeVar("Kind", bound=type)


def fixed(kind: Kind) -> Kind:
    """A class whose settings, the arguments of ``__init__``, cannot be assigned to later."""
    for name in defaults(kind):
        setattr(kind, name, Fixed(name))
    return kind


class Parameters:
    """A class whose settings are the arguments of ``__init__``, each kept as it was given in an attribute of its name.

    ``derived`` names the attributes that ``__init__`` computes from them.
    """

    derived: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in defaults(cls):
            if not hasattr(cls, name):
                setattr(cls, name, Setting(name))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name, as scikit-learn asks for them. ``deep`` changes nothing: no setting has its own."""
        return {name: getattr(self, name) for name in defaults(type(self))}

    def set_params(self: Self, **settings: Any) -> Self:
        """Change settings. What was learned or scored so far is kept; settings that are refused change nothing.

        Raises
        ------
        TypeError, ValueError : as when an object is made; for a name that is no setting too.
        """
        unknown = [name for name in settings if name not in defaults(type(self))]
        if unknown:
            known = ", ".join(defaults(type(self)))
            raise ValueError(f"set_params: expected names among {known}; got {', '.join(unknown)}")
        new = type(self)(**{**self.get_params(), **settings})
        for name in (*defaults(type(self)), *self.derived):
            vars(self)[name] = getattr(new, name)
        return self

    def __sklearn_clone__(self: Self) -> Self:
        """What ``sklearn.base.clone`` returns: the same settings, and nothing that was learned or scored."""
        return type(self)(**self.get_params())

    def __repr__(self) -> str:
        return call(type(self).__name__, self.get_params(), defaults(type(self)))

    def _repr_html_(self) -> str:
        """As a notebook shows it: every setting, the defaults too."""
        return card(type(self).__name__, {name: repr(value) for name, value in self.get_params().items()})


def defaults(kind: type) -> dict[str, Any]:
    """The settings of a class and their defaults; ``inspect.Parameter.empty`` where one must be given."""
    arguments = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return {name: argument.default for name, argument in arguments.items() if name != "self"}
