//! Text from elsewhere, made safe for a terminal and for one line (AL-01, AL-09).
