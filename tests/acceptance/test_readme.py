"""The README's first hook: its commands, pasted as they stand, do what it says."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.program import environment, running
from tests.registry.fixture import npm_registry

__all__ = ["npm_registry"]

README = Path(__file__).parents[2] / "README.md"


def _blocks(title: str) -> list[str]:
    section = README.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


async def _paste(block: str, folder: Path, env: Mapping[str, str]) -> str:
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-eu", "-c", block),
        cwd=folder,
        env=dict(env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await shell.communicate()
    assert shell.returncode == 0, printed.decode()
    return printed.decode()


async def test_the_first_hook(tmp_path, npm_registry):
    # A folder that has .venv, as a clone has after `make start`.
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    env = environment(
        TENTERHOOK_DATA_DIR=str(tmp_path / ".tenterhook"),
        npm_config_registry=npm_registry.url,
        npm_config_cache=str(tmp_path / "npm-cache"),
    )
    save, look = _blocks("Your first hook")
    async with running("start", "--port", "0", env=env) as program:
        sign_up = (await program.line(r"^curl .*"))[0]
        await program.line(r"Runs appear")

        await _paste(sign_up, tmp_path, env)
        await program.line(r"New User: ada-\d+@example.com")
        await program.line(r"the run succeeded")

        assert "Welcome user1@foo.com hello" in await _paste(save, tmp_path, env)
        await _paste(sign_up, tmp_path, env)
        await program.line(r"Welcome ada-\d+@example.com hello")
        await program.line(r"the run succeeded")

        seen = await _paste(look, tmp_path, env)
        assert len(re.findall(r"succeeded +welcome|succeeded +slack-new-user", seen)) == 2, seen
        assert "signed up" in seen
