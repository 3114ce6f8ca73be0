local dap = require("dap")
if not dap.adapters.python then
  require("dap-python").setup("python", { include_configs = false })
end

dap.adapters.devlaunch = { type = "executable", command = "devlaunch", args = { "adapter" } }

local configurations = {
  { -- 1. devlaunch --debug-attach app:app runs in a terminal
    name = "devlaunch: attach",
    type = "python",
    request = "attach",
    connect = { host = "127.0.0.1", port = 5678 },
  },
  { -- 2. devlaunch runs under debugpy
    name = "devlaunch: launch under debugpy",
    type = "python",
    request = "launch",
    module = "devlaunch",
    args = { "app:app" },
    console = "integratedTerminal",
    cwd = "${workspaceFolder}",
  },
  { -- 3. devlaunch is the adapter
    name = "devlaunch: adapter",
    type = "devlaunch",
    request = "launch",
    app = "app:app",
    cwd = "${workspaceFolder}",
  },
}
-- Your other configurations stay; ours are not there twice when this is sourced again.
for _, other in ipairs(dap.configurations.python or {}) do
  if not vim.startswith(other.name, "devlaunch: ") then table.insert(configurations, other) end
end
dap.configurations.python = configurations

-- nvim-dap sends breakpoints only when they are set. Lines move when a file is edited: send them
-- again on every save, so that the reloaded program breaks where the signs are.
vim.api.nvim_create_autocmd("BufWritePost", {
  group = vim.api.nvim_create_augroup("devlaunch", {}),
  pattern = "*.py",
  callback = function(args)
    local breakpoints = require("dap.breakpoints").get(args.buf)
    local function send(session)
      if session.initialized then session:set_breakpoints(breakpoints) end
      for _, child in pairs(session.children) do send(child) end
    end
    for _, session in pairs(dap.sessions()) do send(session) end
  end,
})
