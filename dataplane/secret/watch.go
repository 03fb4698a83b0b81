package secret

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher watches directories for the files of secrets.
type watcher struct {
	fs     *fsnotify.Watcher
	reload func(*Handle)
	done   chan struct{}

	mu   sync.Mutex
	dirs map[string]map[*Handle]bool // guarded by mu; the value tells whether writing counts too
}

// settle is how long a directory must be quiet before its secrets are read again: a chain and its key
// are seldom replaced in one stroke.
const settle = 50 * time.Millisecond

func newWatcher(reload func(*Handle)) (*watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{fs: fs, reload: reload, done: make(chan struct{}), dirs: map[string]map[*Handle]bool{}}
	// Owned by w: ends when close closes fs.
	go w.run()
	return w, nil
}

func (w *watcher) close() {
	_ = w.fs.Close()
	<-w.done
}

// set makes dirs the directories that h is reloaded for.
func (w *watcher) set(h *Handle, dirs []watch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for dir, handles := range w.dirs {
		if _, ok := handles[h]; ok && !hasDir(dirs, dir) {
			delete(handles, h)
			if len(handles) == 0 {
				delete(w.dirs, dir)
				_ = w.fs.Remove(dir)
			}
		}
	}
	for _, d := range dirs {
		if w.dirs[d.dir] == nil {
			if err := w.fs.Add(d.dir); err != nil {
				return err
			}
			w.dirs[d.dir] = map[*Handle]bool{}
		}
		w.dirs[d.dir][h] = d.modify
	}
	return nil
}

func hasDir(dirs []watch, dir string) bool {
	for _, d := range dirs {
		if d.dir == dir {
			return true
		}
	}
	return false
}

func (w *watcher) run() {
	defer close(w.done)
	pending := map[*Handle]struct{}{}
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		select {
		case e, ok := <-w.fs.Events:
			if !ok {
				return
			}
			if w.collect(e, pending) {
				timer.Reset(settle)
			}
		case _, ok := <-w.fs.Errors:
			if !ok {
				return
			}
			// Events may have been lost: look at everything.
			w.all(pending)
			timer.Reset(settle)
		case <-timer.C:
			for h := range pending {
				delete(pending, h)
				w.reload(h)
			}
		}
	}
}

// collect adds the secrets that an event concerns. A file or link that was moved into a directory is
// one that was created there; Envoy looks at no other change, but for watch_modify.
func (w *watcher) collect(e fsnotify.Event, pending map[*Handle]struct{}) (any bool) {
	if !e.Has(fsnotify.Create) && !e.Has(fsnotify.Write) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for h, modify := range w.dirs[filepath.Dir(e.Name)] {
		if e.Has(fsnotify.Create) || modify {
			pending[h] = struct{}{}
			any = true
		}
	}
	return any
}

func (w *watcher) all(pending map[*Handle]struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, handles := range w.dirs {
		for h := range handles {
			pending[h] = struct{}{}
		}
	}
}
