package cluster

import "time"

// closeLater gives transport sockets up when connections that are being made have had their time.
func (m *Manager) closeLater(d *dialer, after time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var t *time.Timer
	done := d.close
	t = time.AfterFunc(after+time.Second, func() {
		m.mu.Lock()
		_, mine := m.late[t]
		delete(m.late, t)
		m.mu.Unlock()
		if mine {
			done()
		}
	})
	m.late[t] = done
}
