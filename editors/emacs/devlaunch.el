(require 'dape)

;; 1. devlaunch --debug-attach app:app runs in a terminal.
(add-to-list 'dape-configs
             '(devlaunch-attach
               modes (python-mode python-ts-mode)
               host "127.0.0.1" port 5678
               :request "attach" :type "python"
               :connect (:host "127.0.0.1" :port 5678)))

;; 2. devlaunch runs under debugpy.
(add-to-list 'dape-configs
             '(devlaunch-debugpy
               modes (python-mode python-ts-mode)
               command "python"
               command-args ("-m" "debugpy.adapter" "--host" "127.0.0.1" "--port" :autoport)
               port :autoport
               :request "launch" :type "python"
               :cwd (lambda () (expand-file-name (dape-cwd)))
               :module "devlaunch" :args ["app:app"]
               :console "integratedTerminal"))

;; 3. devlaunch is the adapter.
(add-to-list 'dape-configs
             '(devlaunch-adapter
               modes (python-mode python-ts-mode)
               command "devlaunch" command-args ("adapter")
               :request "launch" :type "devlaunch"
               :cwd (lambda () (expand-file-name (dape-cwd)))
               :app "app:app"))

;; dape sends breakpoints only when they are set. Lines move when a file is edited: send them again
;; on every save, so that the reloaded program breaks where the marks are.
(defun devlaunch-dape-resend-breakpoints ()
  "Tell all live sessions where the breakpoints of this buffer are now."
  (dolist (conn (dape--live-connections))
    (when (dape--initialized-p conn)
      (dape--set-breakpoints-in-source conn (current-buffer)))))
(add-hook 'after-save-hook #'devlaunch-dape-resend-breakpoints)
