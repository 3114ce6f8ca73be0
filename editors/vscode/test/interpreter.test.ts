import assert from 'node:assert/strict';
import { test } from 'node:test';

import { choose, installCommand, judge } from '../src/core/interpreter.ts';
import type { Sources } from '../src/core/interpreter.ts';

const NONE: Sources = { home: '/home/me', platform: 'linux' };
const ALL: Sources = {
    ...NONE,
    configuration: '/c/python',
    extension: '/e/python',
    setting: '/s/python',
    folder: '/ws',
};

const CASES: [string, Sources, string[], string, string][] = [
    ['the configuration', ALL, ['/ws/.venv/bin/python'], '/c/python', 'configuration'],
    ['the extension', { ...ALL, configuration: '' }, ['/ws/.venv/bin/python'], '/e/python', 'extension'],
    ['the setting', { ...NONE, setting: '/s/python', folder: '/ws' }, ['/ws/.venv/bin/python'], '/s/python', 'setting'],
    ['.venv', { ...NONE, folder: '/ws' }, ['/ws/.venv/bin/python'], '/ws/.venv/bin/python', 'venv'],
    ['no .venv', { ...NONE, folder: '/ws' }, [], 'python3', 'path'],
    ['nothing', NONE, [], 'python3', 'path'],
    ['Windows', { ...NONE, platform: 'win32' }, [], 'python', 'path'],
    [
        '.venv on Windows',
        { ...NONE, platform: 'win32', folder: 'C:\\ws' },
        ['C:\\ws\\.venv\\Scripts\\python.exe'],
        'C:\\ws\\.venv\\Scripts\\python.exe',
        'venv',
    ],
    ['a home', { ...NONE, setting: '~/p/python' }, [], '/home/me/p/python', 'setting'],
    ['a folder', { ...NONE, setting: '${workspaceFolder}/p', folder: '/ws' }, [], '/ws/p', 'setting'],
    ['a relative path', { ...NONE, setting: 'env/bin/python', folder: '/ws/' }, [], '/ws/env/bin/python', 'setting'],
    ['a name', { ...NONE, setting: ' python3.12 ', folder: '/ws' }, [], 'python3.12', 'setting'],
];

for (const [what, sources, existing, python, origin] of CASES) {
    test(`the interpreter by ${what}`, async () => {
        const found = await choose(sources, async path => existing.includes(path));
        assert.deepEqual(found, { python, origin });
    });
}

test('what an interpreter says of itself', () => {
    const said = (version: string, found: string): string => `noise\ndevlaunch-probe:[${version}, ${found}]\n`;
    assert.deepEqual(judge(said('[3, 11]', '["devlaunch"]')), { kind: 'ready' });
    assert.deepEqual(judge(said('[3, 14]', '["pip"]')), { kind: 'missing', hasPip: true });
    assert.deepEqual(judge(said('[3, 12]', '[]').replaceAll('\n', '\r\n')), { kind: 'missing', hasPip: false });
    assert.deepEqual(judge(said('[3, 10]', '[]')), { kind: 'old', version: '3.10' });
    assert.deepEqual(judge(said('[2, 7]', '[]')), { kind: 'old', version: '2.7' });
    assert.deepEqual(judge('', 'spawn x ENOENT'), { kind: 'broken', reason: 'spawn x ENOENT' });
    assert.equal(judge('hello').kind, 'broken');
});

test('how devlaunch is installed', () => {
    assert.deepEqual(installCommand('/p', true), ['/p', '-m', 'pip', 'install', 'devlaunch-debug']);
    assert.deepEqual(installCommand('/p', false), ['uv', 'pip', 'install', '--python', '/p', 'devlaunch-debug']);
});
