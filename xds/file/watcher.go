package file

import (
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// watcher tells streams of what moves into their directories. A file that is written in place is not
// looked at, as in Envoy: half of it would be read.
type watcher struct {
	notify *fsnotify.Watcher
	done   sync.WaitGroup

	mu      sync.Mutex
	streams map[string][]*stream // by directory
}

func newWatcher() (*watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{notify: n, streams: map[string][]*stream{}}
	w.done.Go(w.run) // ended and joined by close
	return w, nil
}

func (w *watcher) close() {
	_ = w.notify.Close()
	w.done.Wait()
}

func (w *watcher) run() {
	for {
		select {
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			// A move into a directory is a Create.
			if e.Has(fsnotify.Create) {
				w.tell(filepath.Clean(e.Name))
			}
		case _, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			// Events were lost: everything may have moved.
			w.mu.Lock()
			for _, streams := range w.streams {
				for _, s := range streams {
					s.moved(s.path)
				}
			}
			w.mu.Unlock()
		}
	}
}

func (w *watcher) tell(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.streams[filepath.Dir(path)] {
		s.moved(path)
	}
}

func (w *watcher) add(s *stream) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.streams[s.dir]) == 0 {
		if err := w.notify.Add(s.dir); err != nil {
			return err
		}
	}
	w.streams[s.dir] = append(w.streams[s.dir], s)
	return nil
}

func (w *watcher) remove(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.streams[s.dir]
	for i := range all {
		if all[i] == s {
			w.streams[s.dir] = append(all[:i:i], all[i+1:]...)
			break
		}
	}
	if len(all) > 0 && len(w.streams[s.dir]) == 0 {
		delete(w.streams, s.dir)
		_ = w.notify.Remove(s.dir)
	}
}
