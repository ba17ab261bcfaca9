"""The program that draws one picture with Blender's Cycles: ``python cycles_process.py FOLDER``.

Runs in a process of its own, because the package ``bpy`` holds global state and may end its process; it needs ``bpy``
and numpy and imports nothing of mesoface, so it may run under another interpreter. It reads ``scene.json`` (camera,
samples, materials) and ``scene.npz`` (meshes, textures, environment) from FOLDER, and writes ``picture.npy``:
``(H, W, 4)`` float32 radiance times coverage, and coverage.

Blender's world has z up and the model frame y up: ``(x, y, z)`` becomes ``(x, −z, y)``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import bpy
import numpy as np

SKIN_IOR = 1.4  # through which scattered light passes, whatever gloss the surface is given
Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def end_with_parent(folder: Path) -> None:
    """Ends this process when the other end of its standard input closes: nobody waits for the picture any more."""

    def watch() -> None:
        while sys.stdin.buffer.read(1024):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def image_of(name: str, values: np.ndarray) -> Any:
    """A float image of linear values ``(H, W, 3)`` with row 0 at the top."""
    height, width = values.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=False, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"  # values are linear already
    rows = np.ones((height, width, 4), np.float32)
    rows[..., :3] = values[::-1]
    image.pixels.foreach_set(rows.ravel())
    image.pack()
    return image


def material_of(name: str, part: dict[str, Any], texture: np.ndarray | None) -> Any:
    """The principled material of a part; skin scatters light under its surface."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    surface = nodes["Principled BSDF"]
    if texture is not None:
        colour = nodes.new("ShaderNodeTexImage")
        colour.image, colour.interpolation, colour.extension = image_of(name, texture), "Linear", "EXTEND"
    else:
        colour = nodes.new("ShaderNodeVertexColor")
        colour.layer_name = "colour"
    links.new(colour.outputs["Color"], surface.inputs["Base Color"])
    gloss = nodes.new("ShaderNodeAttribute")
    gloss.attribute_name = "roughness"
    links.new(gloss.outputs["Fac"], surface.inputs["Roughness"])
    surface.inputs["IOR"].default_value = part["ior"]
    if part["scattering"]:
        surface.subsurface_method = "RANDOM_WALK_SKIN"
        surface.inputs["Subsurface Weight"].default_value = 1.0
        surface.inputs["Subsurface Radius"].default_value = part["scattering"]
        surface.inputs["Subsurface Scale"].default_value = 1.0
        surface.inputs["Subsurface IOR"].default_value = SKIN_IOR
        surface.inputs["Subsurface Anisotropy"].default_value = 0.0
    return material


def joined(names: list[str], arrays: Any, field: str, columns: int) -> np.ndarray:
    """``(N, columns)`` float32 of a field of several parts, one below the other; zeros where a part lacks it."""
    found = []
    for name in names:
        count = len(arrays[f"{name}.positions"])
        key = f"{name}.{field}"
        found.append(arrays[key] if key in arrays else np.zeros((count, columns)))
    return np.concatenate(found).astype(np.float32)


def roughness_of(name: str, parts: dict[str, Any], arrays: Any) -> np.ndarray:
    """``(N,)`` float32 roughness of a part's vertices."""
    varying = arrays.get(f"{name}.vertex_roughness")
    if varying is not None:
        return varying.astype(np.float32)
    return np.full(len(arrays[f"{name}.positions"]), parts[name]["roughness"], np.float32)


def add_body(names: list[str], parts: dict[str, Any], arrays: Any) -> None:
    """One object of several parts, each with its material.

    Light that scatters under a surface comes out of the object it entered, so a border between two objects would show
    as a dark line across the skin.
    """
    counts = [len(arrays[f"{name}.positions"]) for name in names]
    first = np.cumsum([0, *counts[:-1]])
    triangles = np.concatenate([arrays[f"{name}.triangles"] + start for name, start in zip(names, first, strict=True)])
    mesh = bpy.data.meshes.new(names[0])
    mesh.vertices.add(sum(counts))
    mesh.vertices.foreach_set("co", (joined(names, arrays, "positions", 3) @ Z_UP.T).astype(np.float32).ravel())
    mesh.loops.add(triangles.size)
    mesh.loops.foreach_set("vertex_index", triangles.astype(np.int32).ravel())
    mesh.polygons.add(len(triangles))
    mesh.polygons.foreach_set("loop_start", np.arange(0, triangles.size, 3, dtype=np.int32))
    slots = np.concatenate([np.full(len(arrays[f"{name}.triangles"]), i) for i, name in enumerate(names)])
    mesh.polygons.foreach_set("material_index", slots.astype(np.int32))
    corners = triangles.ravel()
    mesh.uv_layers.new(name="uv").uv.foreach_set("vector", joined(names, arrays, "texcoord", 2)[corners].ravel())
    colour = mesh.color_attributes.new("colour", "FLOAT_COLOR", "POINT")
    rgba = np.pad(joined(names, arrays, "colour", 3), ((0, 0), (0, 1)), constant_values=1)
    colour.data.foreach_set("color", rgba.ravel())
    gloss = mesh.attributes.new("roughness", "FLOAT", "POINT")
    gloss.data.foreach_set("value", np.concatenate([roughness_of(name, parts, arrays) for name in names]))
    mesh.update(calc_edges=True)
    mesh.shade_smooth()
    mesh.normals_split_custom_set_from_vertices((joined(names, arrays, "normals", 3) @ Z_UP.T).astype(np.float32))
    for name in names:
        texture = arrays.get(f"{name}.texture")
        mesh.materials.append(material_of(name, parts[name], texture))
    bpy.context.scene.collection.objects.link(bpy.data.objects.new(names[0], mesh))


def add_camera(camera: dict[str, Any]) -> None:
    """The pinhole camera, whose own frame in Blender has x to the right, y up and z backwards."""
    width, height = camera["width"], camera["height"]
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
    data.lens = 36.0 * camera["focal"] / width
    # Shifts are in parts of the sensor's width, towards the right and up.
    data.shift_x = 0.5 - camera["principal"][0] / width
    data.shift_y = (camera["principal"][1] - 0.5 * height) / width
    data.clip_start, data.clip_end = 1e-3, 1e3
    pose = np.eye(4)
    pose[:3, :3] = Z_UP @ np.asarray(camera["rotation"]).T @ np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = Z_UP @ np.asarray(camera["centre"])
    placed = bpy.data.objects.new("camera", data)
    placed.matrix_world = pose.T.tolist()  # Blender takes columns
    scene = bpy.context.scene
    scene.collection.objects.link(placed)
    scene.camera = placed
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100


def add_light(environment: np.ndarray) -> None:
    """The environment map, turned by a quarter: Blender's maps have −y in their middle column, ours +x at a quarter."""
    world = bpy.data.worlds.new("light")
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    picture = nodes.new("ShaderNodeTexEnvironment")
    turned = np.roll(environment, environment.shape[1] // 4, axis=1)
    picture.image, picture.interpolation = image_of("environment", turned), "Linear"
    links.new(picture.outputs["Color"], nodes["Background"].inputs["Color"])
    bpy.context.scene.world = world


def settle(order: dict[str, Any]) -> None:
    """Sampling, bounces and film."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples, cycles.seed, cycles.use_animated_seed = order["samples"], order["seed"], False
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = order["denoised"]
    if order["denoised"]:
        cycles.denoiser = "OPENIMAGEDENOISE"
        cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
        cycles.denoising_use_gpu = False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = order["bounces"], order["bounces"], 2
    cycles.sample_clamp_indirect = 4.0
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 1.0
    scene.render.film_transparent = True
    scene.render.use_persistent_data = False
    scene.render.threads_mode = "FIXED" if order["threads"] else "AUTO"
    if order["threads"]:
        scene.render.threads = order["threads"]
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGBA", "32"
    settings.exr_codec = "NONE"


def main(folder: Path) -> None:
    """Reads the order, draws, writes the picture."""
    end_with_parent(folder)
    order = json.loads((folder / "scene.json").read_text(encoding="utf-8"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with np.load(folder / "scene.npz") as arrays:
        for names in order["bodies"]:
            add_body(names, order["parts"], arrays)
        add_light(arrays["environment"])
    add_camera(order["camera"])
    settle(order)
    target = folder / "render.exr"
    bpy.context.scene.render.filepath = str(target)
    bpy.ops.render.render(write_still=True)
    drawn = bpy.data.images.load(str(target))
    drawn.colorspace_settings.name = "Non-Color"
    pixels = np.empty(drawn.size[0] * drawn.size[1] * 4, np.float32)
    drawn.pixels.foreach_get(pixels)
    np.save(folder / "picture.npy", pixels.reshape(drawn.size[1], drawn.size[0], 4)[::-1])
    sys.stdout.flush()
    os._exit(0)  # Blender's own clean-up may crash after the work is done


if __name__ == "__main__":
    main(Path(sys.argv[1]))
