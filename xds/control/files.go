package control

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// load reads the path's files for the first time.
func (s *Server) load() error {
	files, err := readFiles(s.opts.Path)
	if err != nil {
		return err
	}
	sources := map[string]*source{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		src, err := parseSource(name, files[name])
		if err != nil {
			return err
		}
		src.data = files[name]
		sources[name] = src
		s.loaded(src)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rebuild(sources, s.layers)
}

// readFiles reads a file, or all files of a folder that can be configuration.
func readFiles(path string) (map[string][]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	names := []string{path}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		names = names[:0]
		for _, e := range entries {
			if isConfig(e.Name()) {
				names = append(names, filepath.Join(path, e.Name()))
			}
		}
	}
	files := map[string][]byte{}
	for _, name := range names {
		// A folder may be called as a file is, and a file be gone again.
		if info, err := os.Stat(name); err == nil && info.IsDir() || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return files, nil
}

// isConfig leaves out editors' and Kubernetes' hidden files, and what is neither YAML nor JSON.
func isConfig(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// watch follows the path's folder: a file that is replaced, or a symbolic link that is moved, is seen.
func (s *Server) watch() error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", s.opts.Path, err)
	}
	folder := s.opts.Path
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		folder = filepath.Dir(folder)
	}
	if err := w.Add(folder); err != nil {
		return errors.Join(fmt.Errorf("watching %s: %w", folder, err), w.Close())
	}
	s.running.Add(1)
	// Owned by the server: ends with Close.
	go s.follow(w)
	return nil
}

func (s *Server) follow(w *fsnotify.Watcher) {
	defer s.running.Done()
	defer func() { _ = w.Close() }()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-s.done:
			return
		case _, ok := <-w.Events:
			if !ok {
				return
			}
			quiet.Reset(s.opts.Debounce)
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			// Events may have been lost: look at everything.
			s.log.Warn("watching files", "path", s.opts.Path, "error", err)
			quiet.Reset(s.opts.Debounce)
		case <-quiet.C:
			s.reload()
		}
	}
}

// reload takes the files that have changed. A bad one is told, and its last good version serves on.
func (s *Server) reload() {
	files, err := readFiles(s.opts.Path)
	if err != nil {
		s.bad(s.opts.Path, err)
		return
	}
	s.mu.Lock()
	have, was := s.sources, s.failures
	s.mu.Unlock()
	changed, failures := map[string]*source{}, map[string]error{}
	for name, data := range files {
		if old := have[name]; old != nil && bytes.Equal(old.data, data) {
			continue
		}
		src, err := parseSource(name, data)
		if err != nil {
			failures[name] = err
			continue
		}
		src.data = data
		changed[name] = src
	}
	if err := s.take(files, changed); err != nil {
		failures[fileOf(err, s.opts.Path)] = err
		changed = nil
	}
	s.mu.Lock()
	s.failures = failures
	s.mu.Unlock()
	for name, err := range failures {
		if was[name] == nil || was[name].Error() != err.Error() {
			s.bad(name, err)
		}
	}
	for _, src := range changed {
		s.loaded(src)
	}
	s.tracker.changedNow()
}

// take serves the changed files in place of their old versions, and no longer those that are gone.
func (s *Server) take(files map[string][]byte, changed map[string]*source) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sources := maps.Clone(s.sources)
	for name, old := range sources {
		if _, there := files[name]; !there && old.data != nil {
			delete(sources, name)
		}
	}
	maps.Copy(sources, changed)
	return s.rebuild(sources, s.layers)
}

// fileOf is the file that an error is in.
func fileOf(err error, otherwise string) string {
	if fe := (*fileError)(nil); errors.As(err, &fe) && fe.file != "" {
		return fe.file
	}
	return otherwise
}

func (s *Server) loaded(src *source) {
	for _, n := range src.notes {
		s.log.Warn("file note", "note", n)
	}
	s.tell(Event{Kind: FileLoaded, File: src.name})
}

func (s *Server) bad(file string, err error) {
	s.tell(Event{Kind: FileBad, File: file, Err: err})
}

// tell logs an event and hands it on.
func (s *Server) tell(e Event) {
	switch e.Kind {
	case FileLoaded:
		s.log.Info("file loaded", "file", e.File)
	case FileBad:
		s.log.Error("bad file, what was served goes on", "file", e.File, "error", e.Err)
	case Nacked:
		s.log.Warn("rejected", "node", e.Node, "type", short(e.TypeURL), "version", e.Version, "reason", e.Reason)
	case Sent:
		s.log.Debug("sent", "node", e.Node, "type", short(e.TypeURL), "version", e.Version)
	case Acked:
		s.log.Info("accepted", "node", e.Node, "type", short(e.TypeURL), "version", e.Version)
	default:
		s.log.Info(string(e.Kind), "node", e.Node)
	}
	if s.opts.OnEvent != nil {
		s.opts.OnEvent(e)
	}
}
