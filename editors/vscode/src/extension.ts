// The extension of VS Code for devlaunch: wires the parts together.

import * as vscode from 'vscode';

import { ConfigurationProvider, PYTHON, dynamicProvider } from './configurations.ts';
import { TYPE, addressOf } from './core/configurations.ts';
import { ADAPTER_ARGUMENTS } from './core/interpreter.ts';
import { Sessions } from './sessions.ts';

const factory: vscode.DebugAdapterDescriptorFactory = {
    createDebugAdapterDescriptor({ configuration, workspaceFolder }) {
        const python: unknown = configuration[PYTHON];
        if (typeof python !== 'string') {
            const { host, port } = addressOf(configuration);
            return new vscode.DebugAdapterServer(port, host);
        }
        const cwd = workspaceFolder?.uri.fsPath;
        return new vscode.DebugAdapterExecutable(python, ADAPTER_ARGUMENTS, cwd === undefined ? {} : { cwd });
    },
};

export function activate(context: vscode.ExtensionContext): void {
    const sessions = new Sessions();
    const { Dynamic } = vscode.DebugConfigurationProviderTriggerKind;
    const { registerDebugConfigurationProvider } = vscode.debug;
    context.subscriptions.push(
        sessions,
        vscode.debug.registerDebugAdapterDescriptorFactory(TYPE, factory),
        registerDebugConfigurationProvider(TYPE, new ConfigurationProvider(context.workspaceState)),
        registerDebugConfigurationProvider(TYPE, dynamicProvider, Dynamic),
        command('restart', () => sessions.restart()),
        command('openInBrowser', () => sessions.openInBrowser()),
        command('showOutput', () => sessions.showOutput()),
        command('toggleReloadWhilePaused', () => sessions.toggleReloadWhilePaused()),
    );
}

function command(name: string, run: () => Promise<void>): vscode.Disposable {
    return vscode.commands.registerCommand(`devlaunch.${name}`, run);
}
