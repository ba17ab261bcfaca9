// Reads the parts of a head that mesoface wrote as GLB (glTF 2.0): positions, normals, UV, colours, one texture a part.

const COMPONENTS = { 5120: Int8Array, 5121: Uint8Array, 5122: Int16Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array }
const LENGTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 }

/** The parts: `{name, position, normal, uv, colour, index, factor, roughness, blend, image}`; throws what is wrong. */
async function readGlb(buffer) {
  const view = new DataView(buffer)
  if (buffer.byteLength < 20 || view.getUint32(0, true) !== 0x46546c67) throw new Error("it is no GLB file")
  const length = view.getUint32(12, true)
  const gltf = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 20, length)))
  const start = 28 + length
  const bytes = (index) => {
    const one = gltf.bufferViews[index]
    return [start + (one.byteOffset ?? 0), one.byteLength]
  }
  const values = (index) => {
    if (index === undefined) return null
    const accessor = gltf.accessors[index]
    const size = LENGTHS[accessor.type]
    const [offset] = bytes(accessor.bufferView)
    const at = offset + (accessor.byteOffset ?? 0)
    const Type = COMPONENTS[accessor.componentType]
    const array = new Type(buffer.slice(at, at + accessor.count * size * Type.BYTES_PER_ELEMENT))
    return { array, size, type: accessor.componentType, normalized: Boolean(accessor.normalized) }
  }
  const image = async (material) => {
    const texture = material?.pbrMetallicRoughness?.baseColorTexture
    if (!texture) return null
    const one = gltf.images[gltf.textures[texture.index].source]
    const [offset, size] = bytes(one.bufferView)
    const blob = new Blob([new Uint8Array(buffer, offset, size)], { type: one.mimeType })
    return createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" })
  }
  return Promise.all(gltf.meshes.map(async (mesh) => {
    const [drawn] = mesh.primitives
    const material = gltf.materials?.[drawn.material]
    return {
      name: mesh.name,
      position: values(drawn.attributes.POSITION),
      normal: values(drawn.attributes.NORMAL),
      uv: values(drawn.attributes.TEXCOORD_0),
      colour: values(drawn.attributes.COLOR_0),
      index: values(drawn.indices),
      factor: material?.pbrMetallicRoughness?.baseColorFactor ?? [1, 1, 1, 1],
      roughness: material?.pbrMetallicRoughness?.roughnessFactor ?? 0.6,
      blend: material?.alphaMode === "BLEND",
      image: await image(material),
    }
  }))
}
