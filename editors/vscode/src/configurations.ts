// What F5 starts: asked when there is no launch.json, completed when there is one.

import * as vscode from 'vscode';

import * as made from './core/configurations.ts';
import { findPython, findPythonQuietly } from './python.ts';
import { activePython, look, relative, type Found } from './workspace.ts';

/** The interpreter of the adapter, handed from here to the factory. */
export const PYTHON = '__python';

interface Offer extends vscode.QuickPickItem {
    readonly make?: () => Promise<made.Configuration | undefined>;
}

const LAST = 'last';

export class ConfigurationProvider implements vscode.DebugConfigurationProvider {
    private readonly memory: vscode.Memento;

    constructor(memory: vscode.Memento) {
        this.memory = memory;
    }

    /** For a new launch.json. */
    async provideDebugConfigurations(
        folder: vscode.WorkspaceFolder | undefined,
        token?: vscode.CancellationToken,
    ): Promise<vscode.DebugConfiguration[]> {
        const configuration = await this.pick(folder, token);
        return configuration ? [configuration] : [];
    }

    async resolveDebugConfiguration(
        folder: vscode.WorkspaceFolder | undefined,
        configuration: vscode.DebugConfiguration,
        token?: vscode.CancellationToken,
    ): Promise<vscode.DebugConfiguration | undefined> {
        if (!made.isEmpty(configuration)) return configuration;
        const picked = await this.pick(folder, token);
        // What VS Code has put in by itself (noDebug) stays.
        return picked && { ...configuration, ...picked };
    }

    async resolveDebugConfigurationWithSubstitutedVariables(
        folder: vscode.WorkspaceFolder | undefined,
        configuration: vscode.DebugConfiguration,
    ): Promise<vscode.DebugConfiguration | undefined> {
        const resolved = { stateEvents: true, ...configuration };
        if (configuration.debugServer !== undefined) return resolved;
        if (configuration.request === 'attach') {
            // Without devlaunch here its own endpoint is spoken to, which may be in a container.
            const python = await findPythonQuietly(folder, configuration);
            return python ? { ...resolved, [PYTHON]: python } : resolved;
        }
        const python = await findPython(folder, configuration);
        if (!python) return undefined;
        const cwd = folder ? { cwd: folder.uri.fsPath } : {};
        return { ...cwd, ...resolved, [PYTHON]: python };
    }

    // --- asking ---------------------------------------------------------------------------------

    private async pick(
        folder: vscode.WorkspaceFolder | undefined,
        token?: vscode.CancellationToken,
    ): Promise<made.Configuration | undefined> {
        const looking = look(folder, token);
        const offers = looking.then(found => this.sorted(this.offers(found)));
        const chosen = await vscode.window.showQuickPick(
            offers,
            {
                title: vscode.l10n.t('Debug with devlaunch'),
                placeHolder: vscode.l10n.t('What should run, and restart when you save?'),
                matchOnDescription: true,
            },
            token,
        );
        if (!chosen) return undefined;
        await this.memory.update(LAST, chosen.label);
        return chosen.make?.();
    }

    private offers(found: Found): Offer[] {
        const { t } = vscode.l10n;
        const active = activePython();
        const candidates = found.candidates.map(each => ({
            label: each.app,
            description: [each.kind, each.factory ? t('factory') : '', each.file].filter(Boolean).join(' · '),
            iconPath: new vscode.ThemeIcon('globe'),
            make: async () => made.forCandidate(each),
        }));
        const all: (Offer | undefined)[] = [
            ...candidates,
            { label: '', kind: vscode.QuickPickItemKind.Separator },
            active && {
                label: t('devlaunch: current file'),
                description: relative(active),
                iconPath: new vscode.ThemeIcon('file-code'),
                make: async () => made.forCurrentFile(t('devlaunch: current file')),
            },
            {
                label: t('devlaunch: ASGI/WSGI app'),
                description: t('module:attribute, such as main:app'),
                iconPath: new vscode.ThemeIcon('globe'),
                make: askForApp,
            },
            {
                label: t('devlaunch: module'),
                description: t('as python -m runs it'),
                iconPath: new vscode.ThemeIcon('package'),
                make: async () => askForModule(found.modules),
            },
            {
                label: t('devlaunch: script'),
                description: t('a file to run'),
                iconPath: new vscode.ThemeIcon('file'),
                make: async () => askForScript(found.scripts),
            },
            {
                label: t('devlaunch: attach'),
                description: t('to a devlaunch --debug-attach that runs'),
                iconPath: new vscode.ThemeIcon('debug-disconnect'),
                make: async () => made.forAttach(t('devlaunch: attach')),
            },
        ];
        return all.filter(offer => offer !== undefined);
    }

    /** What was chosen last time comes first. */
    private sorted(offers: Offer[]): Offer[] {
        const last = offers.findIndex(offer => offer.make && offer.label === this.memory.get(LAST));
        return last > 0 ? [...offers.splice(last, 1), ...offers] : offers;
    }
}

/** For "Select and Start Debugging", without questions. */
export const dynamicProvider: vscode.DebugConfigurationProvider = {
    async provideDebugConfigurations(folder, token) {
        const found = await look(folder, token);
        const current = activePython() ? [made.forCurrentFile(vscode.l10n.t('devlaunch: current file'))] : [];
        const attach = made.forAttach(vscode.l10n.t('devlaunch: attach'));
        return [...found.candidates.map(made.forCandidate), ...current, attach];
    },
};

async function askForApp(): Promise<made.Configuration | undefined> {
    const app = await vscode.window.showInputBox({
        title: vscode.l10n.t('devlaunch: ASGI/WSGI app'),
        prompt: vscode.l10n.t('module:attribute, such as main:app'),
        validateInput: text => (made.isApp(text) ? undefined : vscode.l10n.t('module:attribute, such as main:app')),
    });
    return app === undefined ? undefined : made.forApp(app.trim());
}

async function askForModule(known: readonly string[]): Promise<made.Configuration | undefined> {
    const module = await vscode.window.showInputBox({
        title: vscode.l10n.t('devlaunch: module'),
        prompt: vscode.l10n.t('The name of a module, such as package.worker'),
        value: known[0] ?? '',
        validateInput: text =>
            made.isModule(text) ? undefined : vscode.l10n.t('The name of a module, such as package.worker'),
    });
    return module === undefined ? undefined : made.forModule(module.trim());
}

async function askForScript(known: readonly string[]): Promise<made.Configuration | undefined> {
    const title = vscode.l10n.t('devlaunch: script');
    if (known.length > 0) {
        const browse = vscode.l10n.t('Browse…');
        const chosen = await vscode.window.showQuickPick([...known, browse], { title });
        if (chosen !== browse) return chosen === undefined ? undefined : made.forScript(chosen);
    }
    const [uri] = (await vscode.window.showOpenDialog({ title, filters: { Python: ['py'] } })) ?? [];
    if (!uri) return undefined;
    const isInside = vscode.workspace.getWorkspaceFolder(uri) !== undefined;
    const script = made.forScript(relative(uri));
    return isInside ? script : { ...script, program: uri.fsPath };
}
