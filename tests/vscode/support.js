// What a scenario needs beside the editor: its project, requests, processes, waiting.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');

const WORKSPACE = process.env.E2E_WORKSPACE;
const PYTHON = inWorkspace('.venv/bin/python');
const PORT = Number(process.env.E2E_APP_PORT);
const DEBUG_PORT = Number(process.env.E2E_DEBUG_PORT);
const PATIENCE = 60_000;

const SOURCE = `"""A small shop."""

from fastapi import FastAPI

CURRENCY = "EUR"
app = FastAPI()


@app.get("/price")
async def price() -> str:
    amount = 12
    return f"{amount} {CURRENCY}"
`;
const MODULE_LINE = 6;
const HANDLER_LINE = 12;

const SHUTDOWN_SOURCE = `"""A shop that tells when it has closed."""

import asyncio

from fastapi import FastAPI

CURRENCY = "EUR"


async def lifespan(app):
    yield
    await asyncio.sleep(0.5)
    with open("closed.txt", "a") as file:
        file.write(f"{CURRENCY}\\n")


app = FastAPI(lifespan=lifespan)


@app.get("/price")
async def price() -> str:
    return f"12 {CURRENCY}"
`;

const PARENT_SOURCE = `"""A shop that asks a process of its own for the price."""

import subprocess
import sys

from fastapi import FastAPI

CURRENCY = "EUR"
app = FastAPI()


@app.get("/price")
def price() -> str:
    amount = subprocess.check_output([sys.executable, "worker.py"], text=True)
    return f"{amount} {CURRENCY}"
`;
const WORKER_SOURCE = `"""Knows the price."""


def price() -> int:
    amount = 12
    return amount


print(price(), end="")
`;
const WORKER_LINE = 6;

/** What the probe returns when that is true; an error after the time (milliseconds). */
async function until(probe, what, timeout = PATIENCE) {
    const end = Date.now() + timeout;
    for (;;) {
        const found = await probe();
        if (found) return found;
        if (Date.now() > end) throw new Error(`not within ${timeout / 1000} s: ${typeof what === 'string' ? what : what()}`);
        await pause(30);
    }
}

function inWorkspace(name) {
    return path.join(WORKSPACE, name);
}

function read(name) {
    return fs.readFileSync(inWorkspace(name), 'utf8');
}

function write(name, text) {
    fs.writeFileSync(inWorkspace(name), text);
}

/** The number of the app's line that begins with the text. */
function lineOf(text) {
    return read('app.py').split('\n').findIndex(line => line.startsWith(text)) + 1;
}

/** A new project: the app, the port that is free, devlaunch in `.venv`, no launch.json. */
function resetWorkspace() {
    for (const name of fs.readdirSync(WORKSPACE)) fs.rmSync(inWorkspace(name), { recursive: true, force: true });
    fs.symlinkSync(process.env.E2E_VENV, inWorkspace('.venv'));
    write('app.py', SOURCE);
    write('pyproject.toml', `[tool.devlaunch]\nport = ${PORT}\n`);
}

/** One more line of the project's settings. */
function configure(line) {
    fs.appendFileSync(inWorkspace('pyproject.toml'), `${line}\n`);
}

function writeLaunchJson(...configurations) {
    fs.mkdirSync(inWorkspace('.vscode'));
    write('.vscode/launch.json', JSON.stringify({ version: '0.2.0', configurations }, undefined, 4));
}

/** Run the project's Python to its end; what it has printed. */
function python(...words) {
    return execFileSync(PYTHON, words, { cwd: WORKSPACE, encoding: 'utf8' });
}

/** An environment of the project's own, in which the app could run, but devlaunch is missing. */
function newEnvironment() {
    const base = python('-c', 'import sys; print(sys._base_executable)').trim();
    fs.rmSync(inWorkspace('.venv'));
    execFileSync(base, ['-m', 'venv', inWorkspace('.venv')]);
    python('-m', 'pip', 'install', '--quiet', 'fastapi');
}

/** The app's answer, as soon as there is one; an error's code when there is no app. */
function get() {
    return new Promise(resolve => {
        const options = { host: '127.0.0.1', port: PORT, path: '/price', agent: false };
        http.get(options, response => {
            let body = '';
            response.setEncoding('utf8');
            response.on('data', data => (body += data));
            response.on('end', () => resolve(body.replaceAll('"', '')));
            response.on('error', error => resolve(error.code));
        }).on('error', error => resolve(error.code));
    });
}

/** The processes that carry the mark of this test run, but for those of the editor itself. */
function left() {
    const mark = process.env.DEVLAUNCH_RUN;
    const node = fs.realpathSync(process.execPath);
    const found = [];
    for (const pid of fs.readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
        try {
            const state = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/.*\) /s, '')[0];
            const environment = fs.readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
            const isOurs = environment.some(each => each.startsWith(`DEVLAUNCH_RUN=${mark}`));
            if (!isOurs || 'ZX'.includes(state) || isEditor(pid, node)) continue;
            found.push(`${pid} ${fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`);
        } catch (error) {
            if (!['EACCES', 'ENOENT', 'ESRCH'].includes(error.code)) throw error;
        }
    }
    return found;
}

/** The server, its hosts, the search; and this process with its browser. */
function isEditor(pid, node) {
    const program = fs.readlinkSync(`/proc/${pid}/exe`);
    return program === node || /\/(chromium|chrome_crashpad_handler|rg)$/.test(program);
}

/** End what a scenario that has failed could not end. */
function killLeft() {
    for (const each of left()) {
        try {
            process.kill(parseInt(each, 10), 'SIGKILL');
        } catch (error) {
            if (error.code !== 'ESRCH') throw error;
        }
    }
}

/** Nothing that was started lives, and a moment later neither. */
async function nothingLeft() {
    let calm = 0;
    await until(
        () => {
            calm = left().length === 0 ? calm + 1 : 0;
            return calm === 3;
        },
        () => `nothing left; but there is:\n${left().join('\n')}`,
        20_000,
    );
}

module.exports = {
    DEBUG_PORT, HANDLER_LINE, MODULE_LINE, PARENT_SOURCE, PATIENCE, PYTHON, SHUTDOWN_SOURCE, WORKER_LINE,
    WORKER_SOURCE, WORKSPACE, configure, get, killLeft, left, lineOf, newEnvironment, nothingLeft, python,
    read, resetWorkspace, until, write, writeLaunchJson,
};
