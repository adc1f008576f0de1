"""The npm modules of hooks: which ones a script wants, which versions that means, and a read-only folder of them."""

from tenterhook.sandbox.modules.dependencies import MAX_MODULES, check_dependencies
from tenterhook.sandbox.modules.errors import (
    BrokenModuleError,
    ForeignModuleError,
    InvalidDependencyError,
    MissingModuleError,
    MissingVersionError,
    ModuleError,
    ModuleSetTooLargeError,
    ModuleTimeoutError,
    NpmFailedError,
    RegistryUnreachableError,
    UnusableRequireError,
    YoungModuleError,
)
from tenterhook.sandbox.modules.module_set import (
    InstalledSet,
    ModuleSet,
    Origin,
    Progress,
    Resolution,
    ResolvedModule,
    Stage,
)
from tenterhook.sandbox.modules.requires import (
    RequiredModules,
    Requirement,
    RequireProblem,
    required_modules,
)
from tenterhook.sandbox.modules.store import ModuleStore, ProgressCallback

__all__ = [
    "MAX_MODULES",
    "BrokenModuleError",
    "ForeignModuleError",
    "InstalledSet",
    "InvalidDependencyError",
    "MissingModuleError",
    "MissingVersionError",
    "ModuleError",
    "ModuleSet",
    "ModuleSetTooLargeError",
    "ModuleStore",
    "ModuleTimeoutError",
    "NpmFailedError",
    "Origin",
    "Progress",
    "ProgressCallback",
    "RegistryUnreachableError",
    "RequireProblem",
    "RequiredModules",
    "Requirement",
    "Resolution",
    "ResolvedModule",
    "Stage",
    "UnusableRequireError",
    "YoungModuleError",
    "check_dependencies",
    "required_modules",
]
