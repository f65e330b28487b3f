//! MKVS and page store on disk under one root
