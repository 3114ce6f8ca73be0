// Stands in for Microsoft's Python extensions, which code-server does not bring along: the command
// that tasks.json asks for the interpreter, and configurations of type `debugpy`, for which they
// start debugpy's own adapter, too.

const path = require('node:path');
const vscode = require('vscode');

const interpreter = () => path.join(vscode.workspace.workspaceFolders[0].uri.fsPath, '.venv', 'bin', 'python');

const provider = {
    resolveDebugConfiguration: (folder, configuration) => ({ console: 'integratedTerminal', ...configuration }),
};

const factory = {
    createDebugAdapterDescriptor({ configuration: { connect } }) {
        if (connect) return new vscode.DebugAdapterServer(connect.port, connect.host);
        return new vscode.DebugAdapterExecutable(interpreter(), ['-m', 'debugpy.adapter']);
    },
};

exports.register = () => [
    vscode.commands.registerCommand('python.interpreterPath', interpreter),
    vscode.debug.registerDebugConfigurationProvider('debugpy', provider),
    vscode.debug.registerDebugAdapterDescriptorFactory('debugpy', factory),
];
