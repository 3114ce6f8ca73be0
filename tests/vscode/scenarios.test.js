// What a user does in VS Code with the extension, one window each.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { Ide } = require('./ide.js');
const {
    DEBUG_PORT, HANDLER_LINE, MODULE_LINE, PARENT_SOURCE, PATIENCE, PYTHON, SHUTDOWN_SOURCE, WORKER_LINE,
    WORKER_SOURCE, configure, get, killLeft, left, lineOf, newEnvironment, nothingLeft, python, read,
    resetWorkspace, until, write, writeLaunchJson,
} = require('./support.js');

const TIMEOUT = 300_000;

function scenario(name, body) {
    test(name, { timeout: TIMEOUT }, async () => {
        resetWorkspace();
        const ide = await Ide.open(name);
        try {
            await body(ide);
            assert.deepEqual(ide.sessions('ended').length, ide.sessions('started').length);
        } catch (error) {
            await ide.shot('failure');
            console.log(`${error.message}\n${await ide.describe()}`);
            killLeft(); // the next one begins with nothing
            throw error;
        } finally {
            await ide.close();
            await nothingLeft();
        }
    });
}

/** F5 without a launch.json: the app is found, chosen, and served. */
async function pressF5(ide) {
    await ide.page.keyboard.press('F5');
    await ide.row('app:app').waitFor();
    await ide.shot('offer');
    await ide.afterReload(() => ide.row('app:app').click());
}

const setCurrency = (ide, currency) => ide.edit(lineOf('CURRENCY'), `CURRENCY = "${currency}"`);

/** A request stops at the breakpoint; `meanwhile` is done there; it is answered with this currency. */
async function stopsInHandler(ide, currency, meanwhile = async () => {}) {
    let answer;
    await ide.afterStop(HANDLER_LINE, async () => void (answer = get()));
    assert.equal(await ide.variable('amount'), 'amount = 12');
    await meanwhile();
    await ide.resume();
    assert.equal(await answer, `12 ${currency}`);
}

async function stop(ide) {
    await ide.toolbar('stop');
    await ide.ended();
    assert.equal(await get(), 'ECONNREFUSED');
}

function assertOneSession(ide) {
    assert.equal(ide.sessions('started').length, 1);
    assert.equal(ide.sessions('ended').length, 0);
}

scenario('F5, edit, save', async ide => {
    await ide.setBreakpoint(HANDLER_LINE);
    await pressF5(ide);
    await ide.shot('started');
    await stopsInHandler(ide, 'EUR', async () => {
        await ide.showsStatus('devlaunch: paused');
        await ide.shot('paused');
    });
    for (const currency of ['USD', 'GBP']) {
        await ide.afterReload(() => setCurrency(ide, currency));
        await stopsInHandler(ide, currency, () => ide.shot(`paused-${currency}`));
        assertOneSession(ide);
    }
    await ide.shot('reloaded');
    await stop(ide);
});

scenario('breakpoint in code that runs at import', async ide => {
    await ide.setBreakpoint(MODULE_LINE);
    await ide.afterStop(MODULE_LINE, async () => {
        await ide.page.keyboard.press('F5');
        await ide.row('app:app').click();
    });
    await ide.afterReload(() => ide.resume());
    await ide.afterStop(MODULE_LINE, () => setCurrency(ide, 'USD'));
    await ide.shot('stopped');
    await ide.afterReload(() => ide.resume());
    assert.equal(await get(), '12 USD');
    assertOneSession(ide);
    await stop(ide);
});

scenario('save while paused', async ide => {
    await ide.setBreakpoint(HANDLER_LINE);
    await pressF5(ide);
    await ide.afterReload(() =>
        stopsInHandler(ide, 'EUR', async () => {
            await setCurrency(ide, 'USD');
            await ide.showsStatus('devlaunch: paused, reloads on continue');
            await ide.statusHovers('Changed while paused: app.py');
            assert.equal(await ide.stoppedLine(), HANDLER_LINE);
            await ide.shot('pending');
        }),
    );
    await stopsInHandler(ide, 'USD');
    assertOneSession(ide);
    await stop(ide);
});

scenario('reload while paused', async ide => {
    configure('grace = 20');
    await ide.setBreakpoint(HANDLER_LINE);
    await pressF5(ide);
    const setting = () => ide.states().at(-1).whilePaused;
    const toggle = () => ide.command('devlaunch: Toggle Reload While Paused');
    let answer;
    const pause = () => ide.afterStop(HANDLER_LINE, async () => void (answer = get()));

    await pause();
    await setCurrency(ide, 'USD');
    await ide.showsStatus('devlaunch: paused, reloads on continue');
    await ide.afterReload(toggle); // what waits, at once; the request is still answered
    assert.equal(await answer, '12 EUR');
    assert.equal(setting(), 'restart');

    await pause();
    await ide.afterReload(() => setCurrency(ide, 'GBP')); // the next save, too
    assert.equal(await answer, '12 USD');

    await toggle();
    await until(() => setting() === 'wait', 'the setting of before');
    await ide.afterReload(() =>
        stopsInHandler(ide, 'GBP', async () => {
            await setCurrency(ide, 'EUR');
            await ide.showsStatus('devlaunch: paused, reloads on continue');
        }),
    );
    await stopsInHandler(ide, 'EUR');
    assertOneSession(ide);
    await stop(ide);
});

scenario('Restart and Stop', async ide => {
    await ide.setBreakpoint(HANDLER_LINE);
    await pressF5(ide);
    await ide.afterReload(() => ide.toolbar('restart'));
    assert.ok(ide.commands().includes('restart'));
    await stopsInHandler(ide, 'EUR');
    await ide.afterReload(() => ide.status().click());
    assertOneSession(ide);
    await ide.afterStop(HANDLER_LINE, async () => void get());
    await stop(ide);
    assert.equal(ide.events('terminated').length, 1);
});

scenario('two reloads after a syntax error', async ide => {
    await ide.setBreakpoint(HANDLER_LINE);
    await pressF5(ide);
    await ide.edit(lineOf('CURRENCY'), 'CURRENCY = (');
    await ide.showsStatus('devlaunch: broken, waits for a change');
    await ide.shot('broken');
    for (const currency of ['USD', 'GBP']) {
        await ide.afterReload(() => setCurrency(ide, currency));
        await stopsInHandler(ide, currency);
    }
    assertOneSession(ide);
    await stop(ide);
});

scenario('shutdown hooks', async ide => {
    configure('grace = 20');
    write('app.py', SHUTDOWN_SOURCE);
    await ide.openFile('app.py', 1);
    await pressF5(ide);
    await ide.afterReload(() => setCurrency(ide, 'USD'));
    assert.equal(read('closed.txt'), 'EUR\n');
    assert.equal(await get(), '12 USD');
    await stop(ide);
    assert.equal(read('closed.txt'), 'EUR\nUSD\n');
});

scenario('process that the app starts', async ide => {
    write('app.py', PARENT_SOURCE);
    write('worker.py', WORKER_SOURCE);
    await ide.setBreakpoint(WORKER_LINE, 'worker.py');
    await pressF5(ide);
    for (const [count, currency] of ['EUR', 'USD'].entries()) {
        if (count > 0) await ide.afterReload(() => setCurrency(ide, currency));
        let answer;
        await ide.afterStop(WORKER_LINE, async () => void (answer = get()));
        assert.equal(await ide.variable('amount'), 'amount = 12');
        assert.match(ide.sessions('started').at(-1).name, /^Subprocess \d+$/);
        if (count === 0) await ide.shot('paused');
        await ide.resume();
        assert.equal(await answer, `12 ${currency}`);
        await until(() => ide.sessions('ended').length === count + 1, "the end of the process's session");
        assert.equal(ide.sessions('started').length, count + 2);
    }
    await stop(ide);
});

scenario('devlaunch is not installed', async ide => {
    newEnvironment();
    await ide.setBreakpoint(HANDLER_LINE);
    await ide.page.keyboard.press('F5');
    await ide.row('app:app').click();
    const message = ide.page.locator('.monaco-dialog-box', { hasText: `devlaunch is not installed in ${PYTHON}.` });
    await message.waitFor();
    await ide.shot('missing');
    assert.equal(ide.sessions('started').length, 0);
    await ide.afterReload(async () => {
        await message.getByRole('button', { name: 'Install devlaunch' }).click();
        await until(() => ide.sessions('started').length > 0, 'the installation', 3 * PATIENCE);
    });
    assert.match(python('-m', 'pip', 'show', '--files', 'devlaunch'), /devlaunch\/__main__\.py/);
    await ide.shot('installed');
    await stopsInHandler(ide, 'EUR');
    await stop(ide);
    await ide.command('Terminal: Kill All Terminals');
});

scenario('what init writes', async ide => {
    configure(`debug-address = "127.0.0.1:${DEBUG_PORT}"`);
    python('-m', 'devlaunch', 'init', 'vscode', '--yes');
    await ide.setBreakpoint(MODULE_LINE);
    await ide.knows('devlaunch: attach');
    await ide.afterStop(MODULE_LINE, () => ide.page.keyboard.press('F5'));
    await ide.resume();
    await until(async () => (await get()) === '12 EUR', 'the app');
    await ide.afterStop(MODULE_LINE, () => setCurrency(ide, 'USD'));
    await ide.shot('paused');
    await ide.resume();
    await until(async () => (await get()) === '12 USD', 'the new app');
    assert.equal(ide.sessions('started').length, 2); // devlaunch, and the app below it
    assert.equal(ide.sessions('ended').length, 0);
    await ide.toolbar('stop');
    await ide.ended();
    await until(async () => (await get()) === 'ECONNREFUSED', 'the end of the app');

    await ide.runTask('devlaunch');
    await until(async () => (await get()) === '12 USD', 'the app in the terminal');
    await ide.setBreakpoint(HANDLER_LINE);
    await ide.afterAttach(() => ide.start('devlaunch: attach'));
    await stopsInHandler(ide, 'USD');
    await ide.toolbar('disconnect');
    await ide.ended();
    assert.equal(await get(), '12 USD');
    await ide.command('Terminal: Kill All Terminals');
    await nothingLeft();
});

scenario('attach to what a terminal runs', async ide => {
    const connect = { host: '127.0.0.1', port: DEBUG_PORT };
    const internalConsoleOptions = 'neverOpen'; // the terminal stays in front
    writeLaunchJson({ type: 'devlaunch', request: 'attach', name: 'Attach to devlaunch', connect, internalConsoleOptions });
    await ide.focusTerminal();
    await ide.page.keyboard.type(`devlaunch --debug-attach --debug-address 127.0.0.1:${DEBUG_PORT} app:app\n`);
    await until(async () => (await get()) === '12 EUR', 'the app in the terminal');
    await ide.setBreakpoint(HANDLER_LINE);
    await ide.afterReload(() => ide.start('Attach to devlaunch'));
    await stopsInHandler(ide, 'EUR');
    await ide.afterReload(() => setCurrency(ide, 'USD'));
    await stopsInHandler(ide, 'USD', () => ide.shot('paused'));
    assertOneSession(ide);
    await ide.toolbar('disconnect');
    await ide.ended();
    assert.equal(await get(), '12 USD');
    await ide.focusTerminal();
    await ide.page.keyboard.press('Control+C');
    await until(() => left().every(each => each.includes('bash')), () => `only the shell: ${left().join('\n')}`);
    assert.equal(await get(), 'ECONNREFUSED');
    await ide.command('Terminal: Kill All Terminals');
    await nothingLeft();
});
