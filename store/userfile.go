package store

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// stateFolder returns the folder for what programs keep between two runs for one user.
func stateFolder() (string, error) {
	switch runtime.GOOS {
	case "windows":
		if folder := os.Getenv("LocalAppData"); folder != "" {
			return folder, nil
		}
		return "", errors.New("%LocalAppData% is not set")
	case "darwin", "ios":
		home, err := os.UserHomeDir()
		return filepath.Join(home, "Library", "Application Support"), err
	}

	// A relative path in an XDG variable is to be ignored (XDG Base Directory Specification).
	if folder := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(folder) {
		return folder, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state"), err
}
