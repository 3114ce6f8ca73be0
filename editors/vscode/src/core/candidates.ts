// Which apps a workspace has: found by how they look, without running anything. Pure.

export interface Candidate {
    /** `module:attribute`, as devlaunch takes it. */
    readonly app: string;
    /** The attribute is a function that makes the app. */
    readonly factory: boolean;
    /** The directory to import from, relative to the workspace folder; empty for the folder. */
    readonly appDir: string;
    /** What it is made with, for people: `FastAPI`, `ASGI`. */
    readonly kind: string;
    /** The file, relative to the workspace folder, with `/`. */
    readonly file: string;
}

export interface SourceFile {
    /** Relative to the workspace folder, with `/`. */
    readonly path: string;
    readonly text: string;
}

/** Classes and functions whose result is an ASGI or WSGI app. Sanic brings a server of its own. */
const MAKERS: Readonly<Record<string, string>> = {
    FastAPI: 'FastAPI',
    Starlette: 'Starlette',
    Flask: 'Flask',
    APIFlask: 'Flask',
    Quart: 'Quart',
    Litestar: 'Litestar',
    Bottle: 'Bottle',
    get_asgi_application: 'Django',
    get_wsgi_application: 'Django',
};
const NAMES = Object.keys(MAKERS).join('|');

const ASSIGNED = new RegExp(String.raw`^(\w+)[ \t]*(?::[^=\n]+)?=[ \t]*(?:\w+\.)*(${NAMES})\(`, 'gm');
const FALCON = /^(\w+)[ \t]*(?::[^=\n]+)?=[ \t]*falcon\.(?:asgi\.)?App\(/gm;
const FACTORY_NAME = '(?:create|make|build|get)_(?:app|application|asgi|wsgi|api)';
const BY_FACTORY = new RegExp(String.raw`^(\w+)[ \t]*(?::[^=\n]+)?=[ \t]*(?:\w+\.)*${FACTORY_NAME}\(`, 'gm');
const FUNCTION = /^(async[ \t]+)?def[ \t]+(\w+)[ \t]*\(([^()]*(?:\([^()]*\)[^()]*)*)\)[ \t]*(?:->[ \t]*([^:\n]+))?:/gm;
const IS_FACTORY = new RegExp(`^${FACTORY_NAME}$`);
const RETURNS_APP = new RegExp(String.raw`^["']?(?:\w+\.)*(${NAMES})["']?$`);

const RELATIVE = /^[ \t]*from[ \t]+\.\w*[ \t]+import/m;

/** The apps in one file, in the order in which they should be offered. */
export function findInText(text: string): { name: string; kind: string; factory: boolean }[] {
    const source = text.replace(/\r\n?/g, '\n').replace(/("""|''')[\s\S]*?\1/g, "''");
    const found = new Map<string, { name: string; kind: string; factory: boolean }>();
    const add = (name: string | undefined, kind: string, factory = false): void => {
        if (name && !found.has(name)) found.set(name, { name, kind, factory });
    };
    for (const match of source.matchAll(ASSIGNED)) add(match[1], MAKERS[match[2] ?? ''] ?? '');
    for (const match of source.matchAll(FALCON)) add(match[1], 'Falcon');
    for (const match of source.matchAll(BY_FACTORY)) add(match[1], '');
    for (const match of source.matchAll(FUNCTION)) {
        const [, isAsync, name = '', parameters = '', returned = ''] = match;
        const names = parameterNames(parameters);
        if (isAsync && names.join() === 'scope,receive,send') add(name, 'ASGI');
        else if (!isAsync && names.join() === 'environ,start_response') add(name, 'WSGI');
        else if (!isAsync && !needsArguments(parameters)) {
            const made = RETURNS_APP.exec(returned.trim());
            if (made || IS_FACTORY.test(name)) add(name, MAKERS[made?.[1] ?? ''] ?? '', true);
        }
    }
    const rank = (each: { name: string; factory: boolean }): number =>
        (each.factory ? 2 : 0) + (/^(app|application)$/.test(each.name) ? 0 : 1);
    return [...found.values()].sort((a, b) => rank(a) - rank(b));
}

/** Whether a file may be run as a script: it says so. */
export function isScript(text: string): boolean {
    return /^if[ \t]+__name__[ \t]*==[ \t]*["']__main__["'][ \t]*:/m.test(text);
}

/**
 * Module name and import directory of a file. A directory with an `__init__.py` is a package, and
 * so is one whose files import each other through its name or relatively.
 */
export function moduleOf(
    file: SourceFile,
    isPackage: (directory: string) => boolean,
): { module: string; appDir: string } {
    const parts = file.path.replace(/\.py$/, '').split('/');
    let start = parts.length - 1;
    while (start > 0) {
        const directory = parts.slice(0, start).join('/');
        const isRelative = start === parts.length - 1 && RELATIVE.test(file.text);
        const isNamed = importsThrough(file.text, parts[start - 1] ?? '');
        if (!isPackage(directory) && !isRelative && !isNamed) break;
        start -= 1;
    }
    const names = parts.slice(start);
    if (names.length > 1 && names.at(-1) === '__init__') names.pop();
    return { module: names.join('.'), appDir: parts.slice(0, start).join('/') };
}

/** All apps of a workspace folder, best first. `active` is the file in the editor, if it is one. */
export function findCandidates(files: readonly SourceFile[], active = ''): Candidate[] {
    const paths = new Set(files.map(file => file.path));
    const isPackage = (directory: string): boolean => paths.has(`${directory}/__init__.py`);
    const candidates = files.flatMap(file => {
        const { module, appDir } = moduleOf(file, isPackage);
        if (!module.split('.').every(isIdentifier)) return [];
        return findInText(file.text).map(each => ({
            app: `${module}:${each.name}`,
            factory: each.factory,
            appDir,
            kind: each.kind,
            file: file.path,
        }));
    });
    // sort is stable: within a file the order of findInText stays.
    return candidates.sort((a, b) => {
        const [x, y] = [rankOf(a.file, active), rankOf(b.file, active)];
        return x - y || a.file.localeCompare(b.file);
    });
}

function rankOf(file: string, active: string): number {
    if (file === active) return -1;
    const parts = file.split('/');
    const isExtra = parts.some(part => /^(tests?|docs?|examples?|conftest\.py|test_.*|.*_test\.py)$/.test(part));
    const isUsual = /^(main|app|asgi|wsgi|__init__)\.py$/.test(parts.at(-1) ?? '');
    return (isExtra ? 1000 : 0) + parts.length * 2 + (isUsual ? 0 : 1);
}

function parameterNames(parameters: string): string[] {
    return split(parameters).map(each => (/^\w+/.exec(each) ?? [''])[0]);
}

function needsArguments(parameters: string): boolean {
    return split(parameters).some(each => !each.startsWith('*') && each !== '/' && !each.includes('='));
}

function split(parameters: string): string[] {
    const parts: string[] = [];
    let depth = 0;
    let part = '';
    for (const char of parameters.replace(/#.*$/gm, '')) {
        depth += '([{'.includes(char) ? 1 : ')]}'.includes(char) ? -1 : 0;
        if (char === ',' && depth === 0) {
            parts.push(part);
            part = '';
        } else {
            part += char;
        }
    }
    return [...parts, part].map(each => each.trim()).filter(Boolean);
}

function importsThrough(text: string, directory: string): boolean {
    if (!isIdentifier(directory)) return false;
    const absolute = new RegExp(String.raw`^[ \t]*(?:from|import)[ \t]+${directory}[. \t]`, 'm');
    return absolute.test(text);
}

function isIdentifier(text: string): boolean {
    return /^[\p{L}_][\p{L}\p{N}_]*$/u.test(text);
}
