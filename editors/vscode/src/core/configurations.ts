// Launch configurations for what was found or chosen. Pure.

import type { Candidate } from './candidates.ts';

export interface Configuration {
    readonly type: string;
    readonly request: string;
    readonly name: string;
    readonly [attribute: string]: unknown;
}

export const TYPE = 'devlaunch';

export function forCandidate(candidate: Candidate): Configuration {
    return {
        type: TYPE,
        request: 'launch',
        name: `devlaunch: ${candidate.app}`,
        app: candidate.app,
        ...(candidate.factory ? { factory: true } : {}),
        ...(candidate.appDir ? { appDir: `\${workspaceFolder}/${candidate.appDir}` } : {}),
    };
}

export function forApp(app: string): Configuration {
    return { type: TYPE, request: 'launch', name: `devlaunch: ${app}`, app };
}

export function forModule(module: string): Configuration {
    return { type: TYPE, request: 'launch', name: `devlaunch: ${module}`, module };
}

export function forScript(file: string): Configuration {
    return {
        type: TYPE,
        request: 'launch',
        name: `devlaunch: ${file}`,
        program: `\${workspaceFolder}/${file}`,
    };
}

export function forCurrentFile(name: string): Configuration {
    return { type: TYPE, request: 'launch', name, program: '${file}' };
}

export function forAttach(name: string): Configuration {
    return { type: TYPE, request: 'attach', name, connect: { host: '127.0.0.1', port: 5678 } };
}

/** Whether F5 was pressed without a launch.json: VS Code asks with an empty configuration. */
export function isEmpty(configuration: object): boolean {
    const given = configuration as Record<string, unknown>;
    return !given['type'] && !given['request'] && !given['name'];
}

/** What is wrong with a text that should be module:attribute; undefined: nothing. */
export function isApp(text: string): boolean {
    return /^[\w.]+:[\w.]+$/.test(text.trim());
}

export function isModule(text: string): boolean {
    return /^\w+(\.\w+)*$/.test(text.trim());
}

/** Where `attach` leads. */
export function addressOf(configuration: Readonly<Record<string, unknown>>): { host: string; port: number } {
    const connect = configuration['connect'];
    const given = (typeof connect === 'object' && connect !== null ? connect : configuration) as Record<string, unknown>;
    const port = Number(given['port'] ?? 5678);
    const host = typeof given['host'] === 'string' && given['host'] ? given['host'] : '127.0.0.1';
    return { host, port };
}
