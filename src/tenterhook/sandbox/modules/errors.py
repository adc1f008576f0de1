"""What can go wrong between a hook's ``require`` and a folder with the module in it.

    ModuleError
    ├── InvalidDependencyError      ``dependencies`` names something that cannot be asked of a registry
    ├── UnusableRequireError        a ``require`` that can never work: a path, a range after ``@``
    ├── MissingModuleError          the registry has no module of that name
    ├── MissingVersionError         the module has no such version; ``details["newest"]`` has some that exist
    ├── YoungModuleError            a bare ``require`` whose module has no version old enough to be trusted
    ├── ForeignModuleError          a module wants another from an address or a repository instead of the registry
    ├── ModuleSetTooLargeError      unpacked, the modules are larger than the limit
    ├── BrokenModuleError           what the registry sent is not what the lock file promises, or cannot be unpacked
    ├── RegistryUnreachableError    nobody answers, or what is needed offline is not in the cache
    ├── ModuleTimeoutError          the time limit ran out
    └── NpmFailedError              npm stopped for a reason of its own; the message has npm's words

Those an author can mend are ``InvalidInputError`` too (the save is refused, nothing is stored). The last three may
go away by themselves: trying the same again makes sense.
"""

from __future__ import annotations

from tenterhook.errors import InvalidInputError, TenterhookError


class ModuleError(TenterhookError):
    """An npm module cannot be had."""

    code = "module_error"


class InvalidDependencyError(ModuleError, InvalidInputError):
    """The property ``dependencies`` must map module names to versions."""

    code = "invalid_dependency"


class UnusableRequireError(ModuleError, InvalidInputError):
    """The script requires something that a hook cannot have."""

    code = "unusable_require"


class MissingModuleError(ModuleError, InvalidInputError):
    """There is no such module in the registry."""

    code = "module_not_found"


class MissingVersionError(ModuleError, InvalidInputError):
    """The module has no such version."""

    code = "module_version_not_found"


class YoungModuleError(ModuleError, InvalidInputError):
    """Every version of the module is too young to be taken without being named."""

    code = "module_too_young"


class ForeignModuleError(ModuleError, InvalidInputError):
    """A module needs something that is not from the registry."""

    code = "module_not_from_registry"


class ModuleSetTooLargeError(ModuleError, InvalidInputError):
    """The hook's modules are too large."""

    code = "module_set_too_large"


class BrokenModuleError(ModuleError):
    """What the registry sent is damaged."""

    code = "module_broken"


class RegistryUnreachableError(ModuleError):
    """The npm registry cannot be reached."""

    code = "registry_unreachable"


class ModuleTimeoutError(ModuleError):
    """Getting the modules took too long."""

    code = "module_timeout"


class NpmFailedError(ModuleError):
    """The program npm failed."""

    code = "npm_failed"
