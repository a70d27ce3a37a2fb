"""The four stages of a build; each a Beam pipeline that reads the previous one's files."""
