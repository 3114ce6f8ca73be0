// The Python files of a workspace folder, for candidates.

import * as vscode from 'vscode';

import { type Candidate, type SourceFile, findCandidates, isScript } from './core/candidates.ts';

const MOST_FILES = 2000;
const MOST_BYTES = 512 * 1024;
const AT_ONCE = 32;
const EXCLUDED = '{**/node_modules,**/site-packages,**/venv,**/env,**/build,**/dist,**/.*,**/migrations}/**';

export interface Found {
    readonly candidates: readonly Candidate[];
    /** Files that say that they may be run. */
    readonly scripts: readonly string[];
    /** Packages with a `__main__`. */
    readonly modules: readonly string[];
}

export async function look(
    folder: vscode.WorkspaceFolder | undefined,
    token?: vscode.CancellationToken,
): Promise<Found> {
    if (!folder) return { candidates: [], scripts: [], modules: [] };
    const pattern = new vscode.RelativePattern(folder, '**/*.py');
    const uris = await vscode.workspace.findFiles(pattern, EXCLUDED, MOST_FILES, token);
    const files: SourceFile[] = [];
    for (let start = 0; start < uris.length && !token?.isCancellationRequested; start += AT_ONCE) {
        const some = await Promise.all(uris.slice(start, start + AT_ONCE).map(uri => read(uri)));
        files.push(...some.filter(file => file !== undefined));
    }
    const active = activePython();
    const modules = files
        .map(file => /^(.+)\/__main__\.py$/.exec(file.path)?.[1]?.replaceAll('/', '.'))
        .filter(module => module !== undefined);
    return {
        candidates: findCandidates(files, active ? relative(active) : ''),
        scripts: files.filter(file => isScript(file.text)).map(file => file.path),
        modules,
    };
}

/** The Python file in the editor. */
export function activePython(): vscode.Uri | undefined {
    const document = vscode.window.activeTextEditor?.document;
    return document?.languageId === 'python' && document.uri.scheme === 'file' ? document.uri : undefined;
}

/** Relative to its workspace folder, with `/`. */
export function relative(uri: vscode.Uri): string {
    return vscode.workspace.asRelativePath(uri, false).replaceAll('\\', '/');
}

async function read(uri: vscode.Uri): Promise<SourceFile | undefined> {
    try {
        const data = await vscode.workspace.fs.readFile(uri);
        if (data.length > MOST_BYTES) return undefined;
        return { path: relative(uri), text: new TextDecoder().decode(data) };
    } catch {
        return undefined; // removed in the meantime, or not ours to read
    }
}
