// What a scenario needs beside the editor: its project, requests, processes, waiting.

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');

const WORKSPACE = process.env.E2E_WORKSPACE;
const APP = path.join(WORKSPACE, 'app.py');
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
const CURRENCY_LINE = 5;
const MODULE_LINE = 6;
const HANDLER_LINE = 12;

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

/** A new project: the app, the port that is free, no launch.json. */
function resetWorkspace() {
    for (const name of ['.vscode', '__pycache__']) fs.rmSync(path.join(WORKSPACE, name), { recursive: true, force: true });
    fs.writeFileSync(APP, SOURCE);
    fs.writeFileSync(path.join(WORKSPACE, 'pyproject.toml'), `[tool.devlaunch]\nport = ${PORT}\n`);
}

function writeLaunchJson(...configurations) {
    fs.mkdirSync(path.join(WORKSPACE, '.vscode'));
    const text = JSON.stringify({ version: '0.2.0', configurations }, undefined, 4);
    fs.writeFileSync(path.join(WORKSPACE, '.vscode', 'launch.json'), text);
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
    APP, CURRENCY_LINE, DEBUG_PORT, HANDLER_LINE, MODULE_LINE, PATIENCE, WORKSPACE,
    get, left, nothingLeft, resetWorkspace, until, writeLaunchJson,
};
