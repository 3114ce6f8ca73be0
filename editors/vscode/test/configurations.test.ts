import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as made from '../src/core/configurations.ts';

const CANDIDATE = { app: 'main:app', factory: false, appDir: '', kind: 'FastAPI', file: 'main.py' };

test('a configuration for a candidate', () => {
    assert.deepEqual(made.forCandidate(CANDIDATE), {
        type: 'devlaunch',
        request: 'launch',
        name: 'devlaunch: main:app',
        app: 'main:app',
    });
    const factory = made.forCandidate({ ...CANDIDATE, factory: true, appDir: 'src' });
    assert.equal(factory['factory'], true);
    assert.equal(factory['appDir'], '${workspaceFolder}/src');
});

test('an empty configuration is F5 without a launch.json', () => {
    assert.ok(made.isEmpty({}));
    assert.ok(made.isEmpty({ noDebug: true }));
    assert.ok(!made.isEmpty({ type: 'devlaunch', request: 'launch', name: 'x' }));
});

test('what is typed is checked', () => {
    for (const app of ['main:app', 'a.b:c.d', ' main:app ']) assert.ok(made.isApp(app));
    for (const app of ['', 'main', 'main:', 'a b:c']) assert.ok(!made.isApp(app));
    assert.ok(made.isModule('package.worker'));
    for (const module of ['', 'a/b', 'a.', '-m a']) assert.ok(!made.isModule(module));
});

test('where attach leads', () => {
    const addresses: [Record<string, unknown>, string, number][] = [
        [{}, '127.0.0.1', 5678],
        [{ port: 1 }, '127.0.0.1', 1],
        [{ host: 'h', port: '2' }, 'h', 2],
        [{ connect: { port: 3 }, port: 4 }, '127.0.0.1', 3],
        [{ connect: { host: 'h', port: 3 } }, 'h', 3],
    ];
    for (const [given, host, port] of addresses) assert.deepEqual(made.addressOf(given), { host, port });
});
