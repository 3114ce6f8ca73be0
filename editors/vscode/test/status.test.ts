import assert from 'node:assert/strict';
import { test } from 'node:test';

import { browsable, parseState, show } from '../src/core/status.ts';
import type { RunState } from '../src/core/status.ts';

const t = (message: string, ...args: (number | string)[]): string =>
    message.replace(/\{(\d)\}/g, (_, index: string) => String(args[Number(index)]));

const RUN: RunState = {
    state: 'serving',
    generation: 1,
    seconds: 0.4142,
    pending: [],
    url: 'http://127.0.0.1:8000',
    whilePaused: 'wait',
};

const SHOWN: [Partial<RunState>, string, string][] = [
    [{ state: 'starting', seconds: null }, '$(sync~spin) devlaunch: starting', 'none'],
    [{}, '$(pass) devlaunch: started in 0.41 s', 'none'],
    [{ generation: 2 }, '$(pass) devlaunch: reloaded in 0.41 s', 'none'],
    [{ generation: 2, url: null }, '$(pass) devlaunch: restarted in 0.41 s', 'none'],
    [{ seconds: null }, '$(pass) devlaunch: running', 'none'],
    [{ state: 'reloading' }, '$(sync~spin) devlaunch: reloading', 'none'],
    [{ state: 'paused' }, '$(debug-pause) devlaunch: paused', 'none'],
    [{ state: 'paused', pending: ['/a.py'] }, '$(debug-pause) devlaunch: paused, reloads on continue', 'warning'],
    [{ state: 'broken' }, '$(error) devlaunch: broken, waits for a change', 'error'],
    [{ state: 'stopping' }, '$(sync~spin) devlaunch: stopping', 'none'],
    [{ state: 'stopped' }, '$(circle-slash) devlaunch: ended, waits for a change', 'none'],
    [{ state: 'of a later version' }, '$(debug-alt) devlaunch', 'none'],
];

for (const [change, text, severity] of SHOWN) {
    test(`shown for ${JSON.stringify(change)}`, () => {
        const shown = show({ ...RUN, ...change }, [], t);
        assert.deepEqual([shown.text, shown.severity], [text, severity]);
    });
}

test('without a state there is still a place to click', () => {
    assert.deepEqual(show(undefined, [], t), { text: '$(debug-alt) devlaunch', details: [], severity: 'none' });
});

test('the hover', () => {
    assert.deepEqual(show(RUN, [], t).details, ['http://127.0.0.1:8000', 'A save while paused waits for continue.']);
    const more = show({ ...RUN, generation: 3, url: null, whilePaused: 'restart' }, ['a.py', 'b.py'], t);
    assert.deepEqual(more.details, [
        'Changed while paused: a.py, b.py',
        'A save while paused reloads at once.',
        'Starts so far: 3',
    ]);
});

test('the body of an event', () => {
    assert.deepEqual(parseState(RUN), RUN);
    assert.deepEqual(parseState({ state: 'serving' }), {
        state: 'serving',
        generation: 0,
        seconds: null,
        pending: [],
        url: null,
        whilePaused: 'wait',
    });
    for (const body of [undefined, null, 'serving', {}, { state: 1 }]) assert.equal(parseState(body), undefined);
});

test('what a browser can open', () => {
    assert.equal(browsable(RUN), RUN.url);
    assert.equal(browsable({ ...RUN, url: 'unix:/tmp/x' }), undefined);
    assert.equal(browsable({ ...RUN, url: null }), undefined);
    assert.equal(browsable(undefined), undefined);
});
