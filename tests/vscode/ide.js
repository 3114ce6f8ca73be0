// Drives VS Code, as code-server shows it in a browser. What a user sees is asked of the page; what
// editor and debug adapter say to each other is read from the probe's trace.

const fs = require('node:fs');
const path = require('node:path');

const { chromium } = require('playwright-core');

const { PATIENCE, WORKSPACE, read, until } = require('./support.js');

const ARGUMENTS = [
    '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--lang=en-US',
];
const ATTEMPTS = 15;
const GLYPH = '.editor-group-container.active .codicon-debug-breakpoint';
const TOP_FRAME = '.editor-group-container.active .view-overlays .debug-top-stack-frame-line';

class Ide {
    /** A window of its own, in which nothing is remembered. */
    static async open(name) {
        const ide = new Ide();
        ide.name = name.replaceAll(/\W+/g, '-');
        ide.since = Date.now();
        ide.browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ARGUMENTS });
        ide.page = await ide.browser.newPage({ viewport: { width: 1280, height: 800 } });
        ide.page.setDefaultTimeout(PATIENCE);
        await ide.page.goto(`${process.env.E2E_URL}/?folder=${WORKSPACE}`);
        await ide.page.locator('.explorer-folders-view .monaco-list-row').first().waitFor();
        await until(() => ide.trace().some(entry => entry.kind === 'activated'), 'the probe');
        return ide;
    }

    close() {
        return this.browser.close();
    }

    async shot(what) {
        await this.page.mouse.move(700, 420);
        await this.page.locator('.workbench-hover').first().waitFor({ state: 'hidden' }); // of the last click
        await this.page.screenshot({ path: path.join(process.env.E2E_SCREENSHOTS, `${this.name}-${what}.png`) });
    }

    // --- the debug adapter protocol -------------------------------------------------------------

    trace() {
        const lines = fs.readFileSync(process.env.DAP_LOG, 'utf8').split('\n');
        lines.pop(); // what follows the last line break: nothing, or half a line
        return lines.map(line => JSON.parse(line)).filter(entry => entry.time >= this.since);
    }

    /** The events of this name. */
    events(name) {
        return this.trace().filter(({ message }) => message?.event === name).map(({ message }) => message);
    }

    /** The commands that the editor has sent. */
    commands() {
        return this.trace().filter(({ to }) => to === 'adapter').map(({ message }) => message.command);
    }

    states() {
        return this.events('devlaunchState').map(event => event.body);
    }

    /** Sessions that began (`started`) or ended. */
    sessions(kind) {
        return this.trace().filter(entry => entry.kind === kind);
    }

    /** The state that the action leads to: the app is served by a later start than before. */
    async afterReload(action) {
        const latest = () => this.states().findLast(each => each.state === 'serving');
        const before = latest()?.generation ?? 0;
        await action();
        const state = await until(
            () => (latest()?.generation > before ? latest() : undefined),
            () => `reloaded; the states: ${JSON.stringify(this.states().slice(-3))}`,
        );
        const again = state.url ? 'reloaded' : 'restarted';
        const word = state.generation > 1 ? again : 'started';
        await this.showsStatus(`devlaunch: ${word} in ${state.seconds.toFixed(2)} s`);
        return state;
    }

    /** The action leads to a session that has attached, with its breakpoints set. */
    async afterAttach(action) {
        const isAnswer = ({ message }) => message?.type === 'response' && message.command === 'attach';
        const count = () => this.trace().filter(isAnswer).length;
        const before = count();
        await action();
        await until(() => count() > before, 'the answer to `attach`');
    }

    /** The action leads to a stop of the program, which is shown at this line. */
    async afterStop(line, action) {
        const before = this.events('stopped').length;
        await action();
        await until(() => this.events('stopped').length > before, 'the event `stopped`');
        await this.page.locator('.debug-toolbar .codicon-debug-continue').waitFor();
        await until(async () => (await this.stoppedLine()) === line, `stopped at line ${line}`);
    }

    // --- quick input ----------------------------------------------------------------------------

    /** Type into the quick input that the key opens, until it has a row with the text. */
    async quick(key, text, rowText) {
        const input = this.page.locator('.quick-input-widget:visible input').first();
        const row = this.row(rowText);
        // A key can be lost, and an open list is not renewed, while extensions are still loaded.
        for (let attempt = 1; ; attempt++) {
            try {
                await this.page.keyboard.press(key);
                await input.waitFor({ timeout: 3000 });
                await input.fill(text);
                await row.waitFor({ timeout: 5000 });
                return { input, row };
            } catch (error) {
                if (attempt === ATTEMPTS) throw error;
                await this.page.keyboard.press('Escape');
                await input.waitFor({ state: 'hidden' });
            }
        }
    }

    row(text) {
        return this.page.locator('.quick-input-widget:visible .monaco-list-row', { hasText: text }).first();
    }

    async choose(key, text, rowText) {
        const { input, row } = await this.quick(key, text, rowText);
        await row.click();
        await input.waitFor({ state: 'hidden' });
    }

    command(title) {
        return this.choose('F1', `>${title}`, title);
    }

    /** Start a configuration of launch.json. */
    start(name) {
        return this.choose('Control+P', `debug ${name}`, name);
    }

    /** The editor has read a launch.json with that configuration. */
    async knows(name) {
        const { input } = await this.quick('Control+P', `debug ${name}`, name);
        await this.page.keyboard.press('Escape');
        await input.waitFor({ state: 'hidden' });
    }

    /** Run a task of tasks.json. */
    runTask(name) {
        return this.choose('Control+P', `task ${name}`, name);
    }

    // --- editing --------------------------------------------------------------------------------

    async openFile(file, line) {
        const { input } = await this.quick('Control+P', `${file}:${line}`, file);
        await this.page.keyboard.press('Enter');
        await input.waitFor({ state: 'hidden' });
        await this.page.locator('.tabs-container .tab.active', { hasText: file }).waitFor();
        await this.page.locator('.statusbar-item', { hasText: `Ln ${line}, Col` }).waitFor();
    }

    /** Replace a line of the app as a user does, by typing, and save. */
    async edit(line, text) {
        await this.openFile('app.py', line);
        const { keyboard } = this.page;
        for (const key of ['Home', 'Shift+End']) await keyboard.press(key);
        await keyboard.type(text);
        await keyboard.press('Control+S');
        await until(() => read('app.py').split('\n')[line - 1] === text, `saved: ${text}`);
    }

    /** Click beside the line number; a breakpoint is there afterwards that was not before. */
    async setBreakpoint(line, file = 'app.py') {
        await this.openFile(file, line);
        const before = await this.page.locator(GLYPH).count();
        const editor = this.page.locator('.editor-group-container.active .monaco-editor').first();
        const number = editor.locator('.line-numbers', { hasText: new RegExp(`^${line}$`) }).first();
        const beside = await number.boundingBox();
        const margin = await editor.locator('.margin').first().boundingBox();
        await this.page.mouse.click(margin.x + 8, beside.y + beside.height / 2);
        await until(async () => (await this.page.locator(GLYPH).count()) === before + 1, 'the breakpoint');
    }

    // --- debugging ------------------------------------------------------------------------------

    /** The line that is highlighted as the one where the program stands; 0: none. */
    stoppedLine() {
        return this.page.evaluate(selector => {
            const top = document.querySelector(selector)?.getBoundingClientRect().top;
            const numbers = document.querySelectorAll('.editor-group-container.active .line-numbers');
            const beside = [...numbers].find(each => Math.abs(each.getBoundingClientRect().top - top) < 4);
            return Number(beside?.textContent ?? 0);
        }, TOP_FRAME);
    }

    toolbar(icon) {
        return this.page.locator(`.debug-toolbar .codicon-debug-${icon}`).click();
    }

    /** Continue by the toolbar; no line is highlighted any more. */
    async resume() {
        await this.toolbar('continue');
        await this.page.locator(TOP_FRAME).waitFor({ state: 'detached' });
    }

    /** What the view of the variables shows for a local one of the function that was stopped in. */
    async variable(name) {
        const rows = this.page.locator('.debug-variables .monaco-list-row');
        const closed = rows.and(this.page.locator('[aria-expanded=false]')).filter({ hasText: 'Locals' });
        const shown = rows.filter({ hasText: name });
        const text = await until(async () => {
            // The view is drawn anew at each stop, by itself open or not.
            if (await closed.count()) await closed.click({ timeout: 1000 }).catch(() => {});
            await shown.waitFor({ timeout: 2000 }).catch(() => {});
            return shown.allInnerTexts().then(([first]) => first);
        }, `the variable ${name}`);
        return text.replaceAll(/\s+/g, ' ').trim();
    }

    status() {
        return this.page.locator('.statusbar-item[id="devlaunch.devlaunch.status"]');
    }

    async showsStatus(text) {
        const shown = async () => (await this.status().allInnerTexts()).join().replaceAll(/\s+/g, ' ').trim();
        let last = '';
        await until(async () => (last = await shown()) === text, () => `status bar: ${text}; it shows: ${last}`);
    }

    /** A line of what is shown when the mouse rests on the status. */
    async statusHovers(line) {
        const hover = this.page.locator('.workbench-hover', { hasText: line });
        await until(async () => {
            await this.page.mouse.move(700, 420);
            await this.status().hover();
            return hover.waitFor({ timeout: 5000 }).then(() => true, () => false);
        }, `hover: ${line}`);
    }

    /** The debugger's part of the window is gone, and no session is left. */
    async ended() {
        await this.page.locator('.debug-toolbar').waitFor({ state: 'hidden' });
        await this.status().waitFor({ state: 'hidden' });
        await until(() => this.sessions('ended').length === this.sessions('started').length, 'the end of the session');
    }

    // --- the terminal ---------------------------------------------------------------------------

    /** The one that is there, or a new one. */
    async focusTerminal() {
        await this.command('Terminal: Focus Terminal');
        await this.page.locator('.terminal.xterm.focus').waitFor();
    }

    // --- for reports ----------------------------------------------------------------------------

    /** What helps to see why a scenario has failed. */
    async describe() {
        const texts = selector => this.page.locator(selector).allInnerTexts();
        const dap = this.trace().filter(({ message }) => message).map(({ to, message }) => `${to} ${JSON.stringify(message).slice(0, 300)}`);
        return [
            `notifications: ${JSON.stringify(await texts('.notification-list-item'))}`,
            `dialogs: ${JSON.stringify(await texts('.monaco-dialog-box'))}`,
            `states: ${JSON.stringify(this.states())}`,
            ...dap.slice(-15),
        ].join('\n');
    }
}

module.exports = { Ide };
